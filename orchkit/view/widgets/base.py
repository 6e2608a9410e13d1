"""What every widget can do: show itself live, and as a picture where nothing is alive."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from importlib.resources import files
from typing import TYPE_CHECKING, Any, ClassVar

import anywidget
import traitlets

from orchkit.errors import EngineClosed, OrchkitError, StoreError
from orchkit.units import Duration, seconds
from orchkit.view.tables import TablePicture, picture_of
from orchkit.view.text import shorten

if TYPE_CHECKING:
    import pandas as pd

    from orchkit.view.picture import Picture

__all__ = ["LiveWidget", "Ticker", "Widget", "action", "table_twin"]

_VIEW = "application/vnd.jupyter.widget-view+json"
_SHORTEST_S = 0.2  # five times a second
# In JupyterLab a widget without its kernel is a line of error, which gives way to the twin below; a live one hides it.
_TWIN = """<style>
.orchkit-twin{display:none}
.jp-OutputArea-child .orchkit-twin,.output_area .orchkit-twin{display:block}
.jp-OutputArea-child:has(.orchkit-widget)+.jp-OutputArea-child:has(.orchkit-twin){display:none}
.jp-OutputArea-child:not(:has(.orchkit-widget)):has(+.jp-OutputArea-child .orchkit-twin){display:none}
</style>"""


@lru_cache
def _static(name: str) -> str:
    return files(__package__).joinpath("static", name).read_text(encoding="utf-8")


def action(method: Callable[..., None]) -> Callable[..., None]:
    """Mark a method that the page may call: by its name, with what it sends as keyword arguments."""
    method.is_action = True  # type: ignore[attr-defined]
    return method


class Widget(anywidget.AnyWidget):
    """A view with a small ES module of its own and a static twin.

    The module gets ``state``, JSON that Python makes, and sends actions, which Python carries out; it decides nothing.
    An error of orchkit is shown in the view (``problem``), not lost in a log. A subclass names its module and gives
    `picture`:

    >>> class Hello(Widget, module="run_view"):
    ...     pass
    """

    state = traitlets.Dict().tag(sync=True)
    problem = traitlets.Unicode().tag(sync=True)
    _actions: ClassVar[Mapping[str, Callable[..., None]]] = {}

    def __init_subclass__(cls, *, module: str = "", uses: Sequence[str] = (), **kwargs: Any) -> None:  # noqa: ANN401 -- a base class's
        super().__init_subclass__(**kwargs)
        if module:
            cls._esm = "\n".join(_static(f"{name}.js") for name in ("dom", *uses, module))
            cls._css = _static("widgets.css")
        own = {name: method for name, method in vars(cls).items() if getattr(method, "is_action", False)}
        cls._actions = {**cls._actions, **own}

    def __init__(self, **kwargs: Any) -> None:  # noqa: ANN401 -- traits
        super().__init__(**kwargs)
        self.on_msg(self._receive)

    def picture(self) -> Picture:
        """Return what is to be seen now as a picture: the static twin."""
        raise NotImplementedError

    def to_svg(self) -> str:
        """Return the twin as an ``svg`` element."""
        return self.picture().to_svg()

    def to_png(self) -> bytes:
        """Return the twin as PNG."""
        return self.picture().to_png()

    def to_html(self) -> str:
        """Return the twin as a page of its own, without scripts."""
        return self.picture().to_html()

    def act(self, name: str, /, **content: Any) -> None:  # noqa: ANN401 -- JSON
        """Carry out an action as the page asks for it; an error of orchkit becomes the view's ``problem``."""
        found = self._actions.get(name)
        self.problem = ""
        if found is None:
            self.problem = f"There is no action {name!r}."
            return
        try:
            found(self, **content)
        except (OrchkitError, ValueError, TypeError, LookupError, TimeoutError) as error:
            self.problem = str(error)

    def _receive(self, _: object, content: Mapping[str, Any], __: object) -> None:
        self.act(str(content.get("action")), **{str(k): v for k, v in dict(content.get("content") or {}).items()})

    def _repr_mimebundle_(self, **kwargs: Any) -> Any:  # noqa: ANN401 -- a bundle; the arguments are those of IPython
        """Return the live view, and the twin for whoever cannot show it."""
        live: Any = super()._repr_mimebundle_() or {}
        view = live[0] if isinstance(live, tuple) else live
        twin = self.picture()._repr_mimebundle_(kwargs.get("include"), kwargs.get("exclude"))
        return {**twin, **{name: value for name, value in view.items() if name == _VIEW}}

    def _ipython_display_(self) -> None:
        """Publish the live view, and below it the twin, which is seen only where the view is not alive."""
        from IPython.display import publish_display_data  # noqa: PLC0415 -- in a notebook only

        bundle = self._repr_mimebundle_()
        publish: Any = publish_display_data  # its types are not told
        publish({_VIEW: bundle.pop(_VIEW), "text/html": "", "text/plain": ""})
        html = f'<div class="orchkit-twin">{_TWIN}{bundle.get("text/html", "")}</div>'
        # Its HTML holds the drawing and the image: each of them once more would double the notebook.
        publish({"text/html": html, "text/plain": bundle.get("text/plain", "")})


class LiveWidget(Widget):
    """A widget that looks at something over and over; what it shows is sent where it has changed."""

    def __init__(self, every: Duration) -> None:
        super().__init__()
        self.refresh()
        self._ticker = Ticker(self._tick, seconds(every))

    def look(self) -> dict[str, Any]:
        """Return what is shown now, JSON."""
        raise NotImplementedError

    def refresh(self) -> None:
        """Look again."""
        self.state = self.look()

    def _tick(self) -> None:
        try:
            self.refresh()
        except (EngineClosed, StoreError) as error:
            self.problem = str(error)
            self.stop()

    def stop(self) -> None:
        """Look no more; the view stays as it is."""
        self._ticker.stop()

    def close(self) -> None:
        """Look no more, and take the view away."""
        self.stop()
        super().close()


def table_twin(frame: pd.DataFrame, caption: str) -> TablePicture:
    """Return a table as the twin of a widget; names of any length leave it a page that can be looked at."""
    short = shorten(caption, 120)
    cut = frame.map(lambda value: shorten(value, 200) if isinstance(value, str) else value)
    cut.columns = [shorten(str(name), 60) for name in cut.columns]
    return picture_of(frame, short, text=f"{short}\n{cut.to_string(index=False)}")


class Ticker:
    """Calls a function over and over in a thread of its own, at most five times a second, until it is stopped.

    It ends by itself where the function raises. Stopping waits until a call that is under way has ended.
    """

    def __init__(self, tick: Callable[[], None], every_s: float) -> None:
        self._tick, self._every_s = tick, max(every_s, _SHORTEST_S)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="orchkit-ticker", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        due = time.monotonic()
        while not self._stop.wait(max(0.0, due - time.monotonic())):
            self._tick()
            due = max(due + self._every_s, time.monotonic() + _SHORTEST_S)

    @property
    def is_alive(self) -> bool:
        """Whether it still calls."""
        return self._thread.is_alive()

    def stop(self) -> None:
        """Call no more."""
        self._stop.set()
        if threading.current_thread() is not self._thread:
            self._thread.join()
