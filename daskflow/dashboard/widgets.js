// Widgets of text: each kind is a function of its place that returns how to show a value.
;(() => {
  "use strict"
  const {day, isNumber, keep, make, number, put, time} = daskflow

  // Numbers that matter, each with what it rests on.
  daskflow.widgets.tiles = (body) => {
    const list = make("dl", {class: "tiles"})
    body.append(list)
    const build = () => make("div", {class: "tile"}, make("dt"), make("dd", {class: "value"}), make("dd", {class: "basis"}))
    return (tiles) => keep(list, tiles, build, (tile, one) => {
      const [label, value, note] = tile.children
      put(label, one.label)
      put(value, typeof one.value === "number" ? number(one.value) : one.value ?? "–")
      put(note, one.note)
      tile.dataset.state = one.state ?? ""
    })
  }

  const STATES = {waiting: "to come", running: "goes on", done: "done", failed: "failed", paused: "paused"}

  // A bar for a share; without one it only says that something goes on.
  const bar = (label) => make("div", {class: "bar", role: "progressbar", "aria-label": label, "aria-valuemin": "0", "aria-valuemax": "100"}, make("span"))
  const fill = (place, share, isRunning) => {
    const known = isNumber(share)
    const percent = known ? Math.round(1000 * Math.min(1, Math.max(0, share))) / 10 : 0
    place.classList.toggle("unknown", !known && isRunning)
    place.firstElementChild.style.width = known ? `${percent}%` : isRunning ? "100%" : "0"
    if (known) place.setAttribute("aria-valuenow", String(percent))
    else place.removeAttribute("aria-valuenow")
  }

  // Stages of a run, one below the other.
  daskflow.widgets.stages = (body) => {
    const list = make("ol", {class: "stages"})
    body.append(list)
    const build = (one) => make("li", {},
      make("span", {class: "mark", "aria-hidden": "true"}), make("span", {class: "stage"}), make("span", {class: "hidden"}),
      bar(one.name), make("span", {class: "words"}), make("span", {class: "left"}))
    return (stages) => keep(list, stages, build, (item, one) => {
      const [, name, state, share, words, left] = item.children
      item.dataset.state = one.state
      put(name, one.name)
      put(state, `(${STATES[one.state] ?? one.state})`)
      fill(share, one.share, one.state === "running")
      share.setAttribute("aria-label", daskflow.clean(one.name))
      put(words, one.words)
      put(left, one.left)
    })
  }

  const KINDS = {note: "Note", warning: "Warning", failure: "Failure", control: "Asked",
    swap: "Swap", alarm: "Alarm", begun: "Begun", ended: "Ended"}

  // What was said, with its time.
  daskflow.widgets.notes = (body) => {
    const list = make("ul", {class: "notes", tabindex: "0", "aria-label": "Notes, the newest first"})
    body.append(list)
    const build = () => make("li", {}, make("time"), make("strong"), make("span"))
    return (notes) => keep(list, notes, build, (item, one, place) => {
      item.dataset.kind = one.kind
      // The day stands once above its notes, and not at all when it is today.
      const above = place === 0 ? day(Date.now() / 1000) : day(notes[place - 1].at)
      if (day(one.at) === above) delete item.dataset.day
      else item.dataset.day = day(one.at)
      put(item.children[0], time(one.at))
      put(item.children[1], KINDS[one.kind] ?? one.kind)
      put(item.children[2], one.text)
    })
  }

  // Sentences.
  daskflow.widgets.lines = (body) => {
    const place = make("div", {class: "lines"})
    body.append(place)
    return (lines) => keep(place, lines, () => make("p"), put)
  }

  Object.assign(daskflow, {bar, fill})
})()
