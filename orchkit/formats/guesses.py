"""What columns are called elsewhere, and how times are written there: guessed where only one thing can be meant."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping, Sequence
from itertools import product
from typing import TYPE_CHECKING

import pandas as pd

from orchkit.columns import XES_NAMES, coded

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["guessed_columns", "guessed_formats", "joined_halves", "most_likely", "ways_to_read"]

# In the order in which they are looked for: without accents, in small letters, words apart.
_KNOWN_AS = {
    "case_id": (
        *("case id", "case", "caseid", "trace id", "trace", "case key", "run id", "order id", "case number", "case no"),
        *("case identifier", "process instance id", "process instance", "ticket id", "ticket number", "issue key"),
        *("fall id", "fallid", "fallnummer", "fall nr", "fall", "vorgangsnummer", "vorgangs id", "vorgang id"),
        *("identifiant du cas", "id du cas", "identifiant de cas", "cas", "numero de dossier", "dossier"),
        *("identificador de caso", "id de caso", "id caso", "id del caso", "id do caso", "caso", "numero de caso"),
        *("zaaknummer", "zaak id", "zaak", "vorgang", "identifiant"),
    ),
    "activity": (
        *("activity", "activity name", "event", "task", "step", "action", "activity en", "activity de", "event name"),
        *("task name", "step name", "event type"),
        *("aktivitat", "aktivitaet", "tatigkeit", "taetigkeit", "arbeitsschritt", "prozessschritt", "schritt"),
        *("activite", "tache", "etape", "evenement", "actividad", "tarea", "evento", "paso", "attivita"),
        *("atividade", "tarefa", "etapa", "activiteit", "taak", "stap", "vorgang"),
    ),
    "completed": (
        *("completed", "complete timestamp", "end time", "end timestamp", "timestamp", "time", "end", "date"),
        *("endtime", "completion time", "complete time", "completed at", "finished at", "ended at", "finished"),
        *("end date", "event end", "eventtime", "event time", "event timestamp", "date time", "datetime"),
        *("endzeit", "endzeitpunkt", "ende", "enddatum", "zeitstempel", "zeitpunkt", "datum"),
        *("date de fin", "heure de fin", "horodatage", "fecha de fin", "fecha fin", "fin", "marca de tiempo", "fecha"),
        *("data di fine", "data fine", "fine", "data e ora", "data de fim", "data fim", "fim", "data hora"),
        *("eindtijd", "einddatum", "einde", "tijdstip"),
    ),
    "started": (
        *("started", "start time", "start timestamp", "start", "starttime", "started at", "start date", "event start"),
        *("begin time", "begin", "startzeit", "startzeitpunkt", "startdatum", "beginn", "anfang"),
        *("date de debut", "heure de debut", "debut", "fecha de inicio", "fecha inicio", "inicio"),
        *("data di inizio", "data inizio", "inizio", "data de inicio", "data inicio", "starttijd", "begintijd"),
    ),
    "resource": (
        *("resource", "user", "agent", "originator", "performer", "user name", "username", "user id", "userid"),
        *("performed by", "executed by", "assignee", "employee", "operator"),
        *("ressource", "bearbeiter", "sachbearbeiter", "benutzer", "mitarbeiter", "utilisateur"),
        *("recurso", "usuario", "risorsa", "utente", "utilizador", "medewerker", "gebruiker"),
    ),
    "role": (
        *("role", "group", "department", "team", "rolle", "gruppe", "abteilung", "rol", "ruolo", "afdeling"),
        *("departement", "departamento"),
    ),
    "cost": ("cost", "costs", "kosten", "cout", "couts", "costo", "coste", "custo"),
    "lifecycle:transition": ("lifecycle transition", "lifecycle", "transition"),
}
_TIMES_OF_EVENTS = frozenset(
    {
        *("timestamp", "time", "date", "eventtime", "event time", "event timestamp", "date time", "datetime"),
        *("zeitstempel", "zeitpunkt", "datum", "horodatage", "marca de tiempo", "fecha", "data e ora", "data hora"),
        "tijdstip",
    }
)
_TRANSITIONS = frozenset(
    {
        *("schedule", "assign", "reassign", "start", "suspend", "resume", "complete", "withdraw"),
        *("manualskip", "autoskip", "ate_abort", "pi_abort", "unknown"),
    }
)
_OF_DAYS = ("date", "datum", "fecha", "day", "posting date", "buchungsdatum", "data")
_OF_CLOCKS = ("time", "uhrzeit", "zeit", "time of day", "clock", "heure", "hora", "ora", "tijd")
_CLOCK = r"\s*\d{1,2}:\d{2}(?::\d{2}(?:[.,]\d+)?)?\s*"
_WORDS = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|[^a-zA-Z0-9]+")

_DAY_FIRST, _MONTH_FIRST, _PLAIN = "day", "month", "plain"
_DATES = {
    **{f"%d{mark}%m{mark}{year}": _DAY_FIRST for mark, year in product("./-", ("%Y", "%y"))},
    **{f"%m{mark}%d{mark}{year}": _MONTH_FIRST for mark, year in product("/-", ("%Y", "%y"))},  # none has dots
    **{f"%d{mark}%b{mark}{year}": _PLAIN for mark, year in product("- ", ("%Y", "%y"))},
    **dict.fromkeys(("%d %B %Y", "%b %d, %Y", "%B %d, %Y", "%Y-%m-%d", "%Y/%m/%d", "%Y.%m.%d", "%Y%m%d"), _PLAIN),
}
_CLOCKS = (
    *("", "%H:%M", "%H:%M:%S", "%H:%M:%S.%f", "%H:%M:%S,%f", "%I:%M %p", "%I:%M:%S %p", "%I:%M%p", "%H%M%S"),
    *("%H.%M", "%H.%M.%S"),
)
_GAPS = (" ", "T", ", ")
_SAMPLE = 1_000


def guessed_columns(frame: pd.DataFrame, mapping: Mapping[str, str]) -> dict[str, str]:
    """Return the columns of a frame that the log's columns are taken to be, those aside that are said."""
    plain: dict[str, str] = {}
    for label in frame:
        plain.setdefault(_plain(str(label)), str(label))
    taken, guessed = set(mapping.values()), dict[str, str]()
    has_starts = "started" in {*mapping, *frame} or any(name in plain for name in _KNOWN_AS["started"])
    for name, usual in _KNOWN_AS.items():
        if name == "completed" and has_starts:  # beside a start, an end says more than a time
            usual = tuple(sorted(usual, key=_TIMES_OF_EVENTS.__contains__))  # noqa: PLW2901
        if name in mapping or name in frame or XES_NAMES.get(name, name) in frame:
            continue
        found = next((plain[other] for other in usual if other in plain and plain[other] not in taken), None)
        if found is not None and (name in XES_NAMES or _are_transitions(frame[found])):
            guessed[name] = found
            taken.add(found)
    return guessed


def _plain(label: str) -> str:
    """Return a name in small letters, its words apart, without accents: ``ActivityName`` is ``activity name``."""
    letters = unicodedata.normalize("NFKD", label)
    bare = "".join(each for each in letters if not unicodedata.combining(each))
    return _WORDS.sub(" ", bare).strip().lower()


def _are_transitions(column: pd.Series) -> bool:
    names = coded(column).cat.categories
    return bool(len(names)) and all(name.lower() in _TRANSITIONS for name in names)


def joined_halves(frame: pd.DataFrame, label: str, called: str) -> tuple[pd.DataFrame, list[str]]:
    """Return the frame with days and times of day in one column, if a file has two for them, and a note on that."""
    plain = {_plain(str(other)): str(other) for other in frame if other != label}
    found = [plain[name] for name in (*_OF_DAYS, *_OF_CLOCKS) if name in plain]
    if not found:
        return frame, []
    held = frame[label].astype("str")
    is_clock = bool(held.dropna().str.fullmatch(_CLOCK).all())
    for other in found:
        texts = frame[other].astype("str")
        days, clocks = (texts, held) if is_clock else (held, texts)
        is_whole = (days.isna() == clocks.isna()).all() and clocks.dropna().str.fullmatch(_CLOCK).all()
        if held.notna().any() and is_whole and not days.dropna().str.contains(":").any():
            joined = frame.drop(columns=other).assign(**{label: days.str.strip() + " " + clocks.str.strip()})
            return joined, [f"columns {called!r} and {other!r} were joined: days and times of day"]
    return frame, []


def guessed_formats(columns: Sequence[pd.Series]) -> list[str | None]:
    """Return how the times of columns are written, None where that is ISO 8601, or may be several things.

    Of two that read all of a column, one with the day and one with the month first, that one is meant whose order
    another column has.
    """
    found = [ways_to_read(column) for column in columns]
    sure = {_order(ways[0]) for ways in found if len(ways) == 1} - {_PLAIN}
    meant = [[way for way in ways if len(ways) == 1 or {_order(way)} == sure] for ways in found]
    return [ways[0] if ways else None for ways in meant]


def ways_to_read(column: pd.Series) -> list[str]:
    """Return the formats that read all times of a column, one for each order of day and month.

    There is none for times in ISO 8601, and for what is no text.
    """
    if isinstance(column.dtype, pd.DatetimeTZDtype) or column.dtype.kind != "O":
        return []
    texts = column.dropna().astype("str").str.strip()
    if not len(texts) or not pd.to_datetime(texts.iloc[:1], format="ISO8601", utc=True, errors="coerce").isna().any():
        return []
    few = texts.iloc[:_SAMPLE]
    ways = [way for way in _formats() if _reads(few.iloc[:1], way) and _reads(few, way)]
    if len(ways) > 1:  # else whoever reads them will see
        ways = [way for way in ways if _reads(texts, way)]
    return list({_order(way): way for way in reversed(ways)}.values())[::-1]


def most_likely(texts: pd.Series) -> str | None:
    """Return the format that reads most times of a column, if that is more than half, though not all."""
    counts = {way: _count(texts, way) for way in _formats() if _reads(texts.iloc[:1], way)}
    best = max(counts, key=lambda way: counts[way], default="")
    return best if len(texts) > counts.get(best, 0) > len(texts) / 2 else None


def _count(texts: pd.Series, way: str) -> int:
    return int(pd.to_datetime(texts, format=way, errors="coerce").notna().sum())


def _order(way: str) -> str:
    return next(order for date, order in _DATES.items() if way.startswith(date))


def _formats() -> Iterator[str]:
    for date, clock in product(_DATES, _CLOCKS):
        yield from (f"{date}{gap}{clock}" for gap in (_GAPS if clock else ("",)))


def _reads(texts: pd.Series, way: str) -> bool:
    try:
        return bool(pd.to_datetime(texts, format=way, errors="coerce").notna().all())
    except (ValueError, OverflowError):
        return False
