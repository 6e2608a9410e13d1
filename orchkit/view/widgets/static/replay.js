const SAMPLES = 24; // points of a line
const FULL_S = 40; // how long all of it takes at normal speed

// Where everything is on the page: the middle and size of each node, points along each line.
function geometry(svg, kind) {
  const nodes = [...svg.querySelectorAll(kind === "map" ? "g.stop" : "g.node")].map((group) => {
    const shape = group.querySelector("rect,circle,polygon,path");
    const box = shape.getBBox();
    const matrix = shape.getCTM();
    const corner = new DOMPoint(box.x, box.y).matrixTransform(matrix);
    const width = box.width * matrix.a;
    const height = box.height * matrix.d;
    return { x: corner.x + width / 2, y: corner.y + height / 2, width, height };
  });
  const lines = [...svg.querySelectorAll(kind === "map" ? "g.way" : "g.link")].map((group) => {
    const path = group.querySelector("path");
    const matrix = path.getCTM();
    const length = path.getTotalLength();
    return Array.from({ length: SAMPLES + 1 }, (_, place) => {
      const point = path.getPointAtLength((length * place) / SAMPLES).matrixTransform(matrix);
      return [point.x, point.y];
    });
  });
  return { nodes, lines };
}

function on_line(points, share) {
  const place = Math.min(share * SAMPLES, SAMPLES - 1e-6);
  const low = Math.floor(place);
  const rest = place - low;
  const [a, b] = [points[low], points[low + 1]];
  return [a[0] + (b[0] - a[0]) * rest, a[1] + (b[1] - a[1]) * rest];
}

// The leg that a token is on, or none: found from the one before, as time goes on.
function leg_at(legs, from, time) {
  let place = from < legs.length && legs[from][0] <= time ? from : 0;
  while (place + 1 < legs.length && legs[place + 1][0] <= time) place += 1;
  return place;
}

export default view(({ root, state, local, paint }) => {
  local.stop?.();
  const still = matchMedia("(prefers-reduced-motion: reduce)").matches;
  const holder = picture(state.svg);
  holder.classList.add("ok-map", "ok-replay");
  holder.setAttribute("aria-label", "Replay");
  const svg = holder.querySelector("svg");
  const canvas = h("canvas", { "aria-hidden": "true" });
  const stage = h("div", { class: "ok-stage" }, svg, canvas);
  holder.replaceChildren(stage);
  const clock = h("b", { class: "ok-clock" });
  const flight = h("span", { class: "ok-flight" });
  const slider = h("input", { type: "range", min: 0, max: 1000, step: 1, value: 0, "aria-label": "Moment", class: "ok-moment-slider" });
  const speed = h("select", { "aria-label": "Speed" }, [0.25, 0.5, 1, 2, 4, 8].map((value) => h("option", { value, selected: value === 1 }, `× ${value}`)));
  const play = button("▶ Play", () => (playing ? pause() : start()), { class: "ok-button ok-primary ok-play" });
  let [time, playing, last, frame, places, where, held] = [0, false, 0, 0, state.tokens.map(() => 0), null, 0];

  function told(at) {
    let place = 0;
    while (place + 2 < state.clock.length && state.clock[place + 1][0] <= at) place += 1;
    const [[a, from], [b, until]] = [state.clock[place], state.clock[place + 1]];
    const share = b > a ? Math.min(Math.max((at - a) / (b - a), 0), 1) : 0;
    return new Date((from + (until - from) * share) * 1000).toISOString().replace("T", " ").slice(0, state.kind === "run" ? 23 : 19);
  }

  function measure() {
    const box = svg.getBoundingClientRect();
    if (!box.width) return false;
    const ratio = devicePixelRatio || 1;
    canvas.width = Math.round(box.width * ratio);
    canvas.height = Math.round(box.height * ratio);
    canvas.style.width = `${box.width}px`;
    canvas.style.height = `${box.height}px`;
    where = geometry(svg, state.kind);
    return true;
  }

  function show() {
    clock.textContent = state.tokens.length ? `${told(time)} UTC` : "";
    slider.value = Math.round((1000 * time) / state.length);
    slider.setAttribute("aria-valuetext", clock.textContent);
    if (!where && !measure()) return;
    const pen = canvas.getContext("2d");
    const style = getComputedStyle(holder);
    const [accent, danger, page, text] = ["--ok-accent", "--ok-danger", "--ok-page", "--ok-text"].map((name) => style.getPropertyValue(name).trim());
    pen.setTransform(devicePixelRatio || 1, 0, 0, devicePixelRatio || 1, 0, 0);
    pen.clearRect(0, 0, canvas.width, canvas.height);
    const counts = new Array(where.nodes.length).fill(0);
    let moving = 0;
    const radius = state.tokens.length > 400 ? 3 : 5;
    state.tokens.forEach((legs, number) => {
      if (!legs.length || time < legs[0][0] || time > legs[legs.length - 1][1]) return;
      const place = leg_at(legs, places[number], time);
      places[number] = place;
      const [begun, ended, source, target, line, failed] = legs[place];
      if (time > ended) return;
      moving += 1;
      const share = ended > begun ? Math.min((time - begun) / (ended - begun), 1) : 1;
      const [a, b] = [where.nodes[source], where.nodes[target]];
      let x, y;
      if (source === target && line < 0) {
        // Below its box, beside the others.
        const slots = Math.max(Math.floor(a.width / (2 * radius + 1)), 1);
        const slot = counts[source] % slots;
        const row = Math.min(Math.floor(counts[source] / slots), 2);
        counts[source] += 1;
        x = a.x + (slot - (slots - 1) / 2) * (2 * radius + 1);
        y = a.y + a.height / 2 + row * (radius + 1);
      } else {
        const along = still ? 0.5 : share;
        [x, y] = line >= 0 && where.lines[line] ? on_line(where.lines[line], along) : [a.x + (b.x - a.x) * along, a.y + (b.y - a.y) * along];
        // Side by side, so that many are seen as many.
        x += ((number * 7) % 9) - 4;
      }
      pen.beginPath();
      if (failed) {
        pen.strokeStyle = danger;
        pen.lineWidth = 2.5;
        pen.moveTo(x - radius, y - radius);
        pen.lineTo(x + radius, y + radius);
        pen.moveTo(x + radius, y - radius);
        pen.lineTo(x - radius, y + radius);
        pen.stroke();
      } else {
        pen.arc(x, y, radius, 0, 7);
        pen.fillStyle = accent;
        pen.fill();
        pen.strokeStyle = page;
        pen.lineWidth = 1;
        pen.stroke();
      }
    });
    pen.font = "bold 11px sans-serif";
    pen.textAlign = "center";
    pen.textBaseline = "middle";
    counts.forEach((count, place) => {
      if (!count) return;
      const node = where.nodes[place];
      const words = String(count);
      const width = pen.measureText(words).width + 10;
      const [x, y] = [node.x - node.width / 2, node.y - node.height / 2];
      pen.beginPath();
      pen.roundRect(x - width / 2, y - 8, width, 16, 8);
      pen.fillStyle = page;
      pen.fill();
      pen.strokeStyle = accent;
      pen.lineWidth = 1.5;
      pen.stroke();
      pen.fillStyle = text;
      pen.fillText(words, x, y + 0.5);
    });
    const working = counts.reduce((sum, count) => sum + count, 0);
    flight.textContent = `${moving} in flight: ${working} in work, ${moving - working} on the way`;
  }

  function tick(now) {
    if (!playing) return;
    const past = Math.min((now - last) / 1000, 0.25);
    last = now;
    held += past;
    const rate = (state.length / FULL_S) * Number(speed.value);
    if (!still) time += past * rate;
    else if (held >= 1) {
      time += rate; // a step a second, for who wants no movement
      held = 0;
    }
    if (time >= state.length) {
      time = state.length;
      pause();
    }
    show();
    frame = requestAnimationFrame(tick);
  }

  function start() {
    if (time >= state.length) time = 0;
    playing = true;
    held = 1;
    last = performance.now();
    play.textContent = "‖ Pause";
    frame = requestAnimationFrame(tick);
  }

  function pause() {
    playing = false;
    cancelAnimationFrame(frame);
    play.textContent = "▶ Play";
  }

  slider.addEventListener("input", () => {
    time = (Number(slider.value) / 1000) * state.length;
    show();
  });
  holder.addEventListener("keydown", (event) => {
    if (event.key === " ") {
      event.preventDefault();
      play.click();
    }
  });
  const watch = new ResizeObserver(() => {
    where = null;
    show();
  });
  watch.observe(stage);
  local.stop = () => {
    pause();
    watch.disconnect();
  };
  const legend = h("span", { class: "ok-note" }, state.kind === "map" ? "● a case, ✗ after a failed step" : "● a step, ✗ one that fails");
  fill(root, h("div", { class: "ok-head" }, h("span", { class: "ok-title" }, "Replay"), h("span", { class: "ok-note" }, h("bdi", {}, state.note)), legend), h("div", { class: "ok-row" }, play, slider, speed, clock), h("div", { class: "ok-note" }, flight, still ? " · in steps, as your system asks for less motion" : ""), holder);
  show();
});
