// Widgets that are small pictures: a strip of cells, and rungs of brackets.
;(() => {
  "use strict"
  const {keep, make, number, put} = daskflow
  const CELL_COLOURS = ["--cell-0", "--cell-1", "--cell-2", "--cell-3", "--cell-4"]
  const HEIGHT = 96
  const [LEAST, MOST] = [12, 40]

  // A heat strip: a cell for each partition, in rows where there are many, on a canvas.
  daskflow.widgets.strip = (body) => {
    const canvas = make("canvas", {class: "strip", role: "img"})
    const legend = make("ul", {class: "legend"})
    const told = make("p", {class: "told", "aria-live": "off"})
    body.append(canvas, legend, told)
    let shown = {states: "", labels: []}
    // The largest cells that all find room.
    const grid = (width, count) => {
      let rows = 1
      while (rows < 24 && width / Math.ceil(count / rows) < Math.min(LEAST, HEIGHT / rows)) rows += 1
      const across = Math.max(1, Math.ceil(count / rows))
      return {rows, across, wide: Math.min(MOST, width / across), high: Math.min(28, HEIGHT / rows)}
    }
    const draw = () => {
      const width = canvas.clientWidth
      if (width === 0 || shown.states === "") return
      const {rows, across, wide, high} = grid(width, shown.states.length)
      const ratio = window.devicePixelRatio || 1
      canvas.style.height = `${rows * high}px`
      canvas.width = Math.round(width * ratio)
      canvas.height = Math.round(rows * high * ratio)
      const pen = canvas.getContext("2d")
      pen.scale(ratio, ratio)
      const look = getComputedStyle(canvas)
      const colours = CELL_COLOURS.map((name) => look.getPropertyValue(name))
      const gap = Math.min(wide, high) > 5 ? 1 : 0
      for (let place = 0; place < shown.states.length; place += 1) {
        const state = Number(shown.states[place])
        const [x, y] = [(place % across) * wide, Math.floor(place / across) * high]
        pen.fillStyle = colours[state] ?? colours[0]
        pen.fillRect(x, y, wide - gap, high - gap)
        // Colour is not all that tells: what is being read has a frame, rows that were refused a bar across.
        pen.fillStyle = look.getPropertyValue("--ground")
        if (state === 1 && high > 6) pen.fillRect(x + 3, y + 3, wide - gap - 6, high - gap - 6)
        if (state === 4 && high > 6) pen.fillRect(x + 2, y + (high - gap) / 2 - 1, wide - gap - 4, 2)
      }
    }
    const at = (event) => {
      const box = canvas.getBoundingClientRect()
      const {across, wide, high} = grid(box.width, shown.states.length)
      const column = Math.floor((event.clientX - box.left) / wide)
      const place = Math.floor((event.clientY - box.top) / high) * across + column
      const state = column < across ? shown.states[place] : undefined
      const each = shown.per_cell ?? 1
      const last = Math.min((place + 1) * each, shown.total ?? Infinity) - 1
      const where = each === 1 ? `Partition ${number(place)}` : `Partitions ${number(place * each)} to ${number(last)}`
      put(told, state === undefined ? "" : `${where}: ${shown.labels[Number(state)]}`)
    }
    canvas.addEventListener("pointermove", at)
    canvas.addEventListener("pointerleave", () => put(told, ""))
    new ResizeObserver(draw).observe(canvas)
    document.addEventListener("daskflow-theme", draw)
    return (value) => {
      shown = value
      const counts = value.counts ?? new Array(value.labels.length).fill(0)
      if (value.counts === undefined) for (const state of value.states) counts[Number(state)] += 1
      const items = value.labels.map((label, state) => ({label, state, count: counts[state]}))
      keep(legend, items, () => make("li", {}, make("i"), make("span")), (item, one) => {
        item.firstElementChild.dataset.cell = one.state
        put(item.lastElementChild, `${one.label} ${number(one.count)}`)
      })
      const words = items.filter((one) => one.count > 0).map((one) => `${one.count} ${one.label}`)
      canvas.setAttribute("aria-label", daskflow.clean(`${value.title ?? "Partitions"}: ${words.join(", ")}`))
      draw()
    }
  }

  const PARTS = ["done", "failed", "running", "waiting"]

  // Brackets of a search: their rungs from little to much resource, how full each is, and how many went on.
  daskflow.widgets.rungs = (body) => {
    const place = make("div", {class: "brackets"})
    const words = {done: "done", failed: "failed", running: "running", waiting: "waiting"}
    const legend = make("ul", {class: "legend"}, ...PARTS.map((part) =>
      make("li", {}, make("i", {"data-part": part}), make("span", {text: words[part]}))))
    body.append(legend, place)
    const rung = () => make("li", {},
      make("span", {class: "resource"}), make("div", {class: "stack", role: "img"}, ...PARTS.map((part) => make("i", {"data-part": part}))),
      make("span", {class: "counts"}))
    const bracket = () => make("section", {class: "bracket"}, make("h3"), make("ol"))
    return (value) => {
      const most = Math.max(1, ...value.brackets.flatMap((one) => one.rungs.map((each) => each.planned || 0)))
      keep(place, value.brackets, bracket, (section, one) => {
        put(section.children[0], one.bracket === null || one.bracket === undefined ? "All trials" : `Bracket ${one.bracket}`)
        keep(section.children[1], one.rungs, rung, (item, each, step) => {
          const [resource, stack, counts] = item.children
          put(resource, `resource ${number(each.resource)}`)
          PARTS.forEach((part, index) => {
            stack.children[index].style.width = `${(100 * (each[part] || 0)) / most}%`
          })
          stack.style.setProperty("--planned", `${(100 * (each.planned || 0)) / most}%`)
          const goOn = step < one.rungs.length - 1 ? `, ${number(each.promoted || 0)} went on` : ""
          const bad = each.failed ? `, ${number(each.failed)} failed` : ""
          put(counts, `${number(each.done || 0)} of ${number(each.planned || 0)}${bad}${goOn}`)
          stack.setAttribute("aria-label", PARTS.map((part) => `${each[part] || 0} ${words[part]}`).join(", "))
        })
      })
    }
  }
})()
