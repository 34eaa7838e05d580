// Figures: drawn once without data, then filled; each with its tools; marked trials are marked in all of them.
;(() => {
  "use strict"
  const {make} = daskflow
  const isTouch = window.matchMedia("(pointer: coarse)").matches
  const named = new Map()
  const sources = []
  const held = new Set()
  const wanted = new Map()
  let isOurs = false
  const ours = (action) => {
    const before = isOurs
    isOurs = true
    try {
      action()
    } finally {
      isOurs = before
    }
  }

  const start = async () => {
    const place = document.getElementById("figures")
    if (place === null) return
    const {docs, items} = JSON.parse(daskflowLook.coloured(place.textContent))
    // Figures without data have no ranges yet: nothing to warn of.
    window.Bokeh.set_log_level("error")
    await window.Bokeh.embed.embed_items(docs, items)
    for (const doc of window.Bokeh.documents) {
      for (const root of doc.roots()) {
        tools(root)
        new ResizeObserver(() => roomy(root)).observe(document.querySelector(`[data-root-id="${root.id}"]`))
        for (const model of root.references()) {
          if (!model.name || named.get(model.name)?.includes(model)) continue
          named.set(model.name, [...(named.get(model.name) ?? []), model])
          if (model.type === "ColumnDataSource") follow(model, root)
          if (model.type === "Range1d") watch(model)
        }
      }
    }
    daskflow.marks.listen(markAll)
  }

  // As many ticks of time, and entries of a legend in a line, as there is room for.
  // Pixels of one.
  const [TICK, ENTRY, SLANTED] = [110, 122, 560]
  const roomy = (figure) => {
    const width = document.querySelector(`[data-root-id="${figure.id}"]`).clientWidth
    if (width === 0) return
    for (const axis of figure.below) {
      if (axis.ticker?.type === "AdaptiveTicker" && axis.ticker.base === 60) {
        axis.ticker.desired_num_ticks = Math.max(2, Math.min(10, Math.floor(width / TICK)))
      }
    }
    // Dates stand side by side where there is room, else aslant.
    for (const axis of figure.below) if (axis.type === "DatetimeAxis") axis.major_label_orientation = width < SLANTED ? 0.7 : "horizontal"
    for (const legend of figure.above) {
      if (legend.type !== "Legend" || typeof legend.ncols !== "number") continue
      legend.ncols = Math.max(1, Math.min(legend.items.length, Math.floor((width - 60) / ENTRY)))
    }
  }

  // Columns of a source -------------------------------------------------------------------------------------------

  // JSON has no not-a-number: what is missing among numbers is one.
  const mended = (values) => {
    let hasNothing = false
    let hasText = false
    for (const one of values) {
      if (Array.isArray(one)) return values.map((each) => (Array.isArray(each) ? mended(each) : []))
      if (one === null) hasNothing = true
      else if (typeof one === "string") hasText = true
    }
    return hasNothing ? values.map((one) => one ?? (hasText ? "" : Number.NaN)) : values
  }
  // Rows that do not fit to those that are there are asked for again, all of them.
  const fillIn = (name, {from, data}) => {
    const columns = Object.fromEntries(Object.entries(data).map(([column, values]) => [column, mended(values)]))
    for (const source of named.get(name) ?? []) {
      const has = new Set(source.columns())
      if (from > 0 && (source.get_length() !== from || Object.keys(columns).some((column) => !has.has(column)))) return false
      ours(() => {
        if (from === 0) source.data = columns
        else source.stream(columns)
        if (daskflow.marks.size() > 0) mark(source)
      })
    }
    return true
  }

  // Attributes of models; ranges that the reader has moved stay where they are until they are reset ------------------

  const watch = (range) => {
    const moved = () => {
      if (!isOurs) held.add(range)
    }
    range.properties.start.change.connect(moved)
    range.properties.end.change.connect(moved)
  }
  const isModel = (value) => value !== null && typeof value === "object" && typeof value.setv === "function"
  const isPlain = (value) => value !== null && typeof value === "object" && !Array.isArray(value)
  const set = (model, attributes) => {
    const plain = {}
    for (const [name, value] of Object.entries(attributes)) {
      const now = model[name]
      if (isModel(now) && isPlain(value)) set(now, value)
      else if (isModel(now) && name === "ticker" && Array.isArray(value)) now.ticks = value
      else if (now instanceof Map && isPlain(value)) {
        plain[name] = new Map(Object.entries(value).map(([key, one]) => [Number.isNaN(Number(key)) ? key : Number(key), one]))
      } else plain[name] = value
    }
    if (model.type === "Range1d") {
      if ("start" in plain) plain.reset_start = plain.start
      if ("end" in plain) plain.reset_end = plain.end
    }
    model.setv(plain)
  }
  const look = (name, attributes) => {
    for (const model of named.get(name) ?? []) {
      wanted.set(model, attributes)
      if (held.has(model)) continue
      try {
        ours(() => set(model, attributes))
        // A figure of named rows is as high as they are many; its place goes along.
        const place = "height" in attributes ? document.querySelector(`[data-root-id="${model.id}"]`) : null
        if (place !== null) place.style.height = `${attributes.height}px`
      } catch (error) {
        console.debug("a look does not fit", name, error)
      }
    }
  }
  const reset = (figure) => ours(() => {
    figure.reset.emit()
    for (const range of [figure.x_range, figure.y_range]) {
      held.delete(range)
      if (wanted.has(range)) set(range, wanted.get(range))
    }
    for (const {source} of sources) mark(source)
  })

  // Marks ---------------------------------------------------------------------------------------------------------

  const trials = (source) => (source.columns().includes("trial") ? source.get("trial") : null)
  const mark = (source) => {
    const ids = trials(source)
    if (ids === null) return
    const rows = []
    for (let row = 0; row < ids.length; row += 1) if (daskflow.marks.has(ids[row])) rows.push(row)
    const before = source.selected.indices
    if (rows.length === before.length && rows.every((row, place) => row === before[place])) return
    source.selected.indices = rows
  }
  // Dots that stand on axes (a column `axis`): marked is what was picked on every axis that was brushed. A box that has
  // nothing in common with those before begins anew.
  const brushes = new Map()
  let isBrushing = false
  const brushed = (source, ids) => {
    const axes = source.get("axis")
    const picked = new Map()
    for (const row of source.selected.indices) {
      if (!picked.has(axes[row])) picked.set(axes[row], new Set())
      picked.get(axes[row]).add(ids[row])
    }
    const common = (some) => {
      const [first, ...others] = [...some.values()]
      return [...(first ?? [])].filter((id) => others.every((each) => each.has(id)))
    }
    const all = picked.size === 0 ? picked : new Map([...(brushes.get(source) ?? []), ...picked])
    brushes.set(source, common(all).length > 0 ? all : picked)
    return common(brushes.get(source))
  }
  // What is in sight at once, the rest one after the other: marking never waits for figures that nobody sees.
  let turn = 0
  const markAll = () => {
    if (!isBrushing) brushes.clear()
    const mine = ++turn
    const isSeen = (place) => {
      const {top, bottom} = place.getBoundingClientRect()
      return bottom > 0 && top < window.innerHeight
    }
    const later = sources.filter(({source, place}) => {
      if (!isSeen(place)) return true
      ours(() => mark(source))
      return false
    })
    const next = () => {
      if (mine !== turn || later.length === 0) return
      const {source} = later.shift()
      ours(() => mark(source))
      setTimeout(next, 30)
    }
    setTimeout(next, 120)
  }
  const follow = (source, root) => {
    sources.push({source, place: document.querySelector(`[data-root-id="${root.id}"]`)})
    source.selected.properties.indices.change.connect(() => {
      const ids = trials(source)
      if (isOurs || ids === null) return
      isBrushing = source.columns().includes("axis")
      daskflow.marks.set((isBrushing ? brushed(source, ids) : source.selected.indices.map((row) => ids[row])).filter((id) => id !== ""))
      isBrushing = false
      ours(() => mark(source))
    })
  }

  // Tools ---------------------------------------------------------------------------------------------------------

  const WORDS = {mark: "Mark by dragging", zoom: "Zoom by dragging", move: "Move by dragging", reset: "Show all again"}
  const SIGNS = {
    mark: "M3 3h2M8 3h2M13 3h0v2M13 8v2M13 13h-2M8 13H6M3 13v-2M3 8V6",
    zoom: "M7 2.5a4.5 4.5 0 1 0 0 9a4.5 4.5 0 1 0 0-9M10.5 10.5L14 14M5 7h4M7 5v4",
    move: "M8 2v12M2 8h12M8 2L6 4M8 2l2 2M8 14l-2-2M8 14l2-2M2 8l2-2M2 8l2 2M14 8l-2-2M14 8l-2 2",
    reset: "M13 8a5 5 0 1 1-1.6-3.7M13 2v3h-3",
  }
  const sign = (name) => {
    const drawn = document.createElementNS("http://www.w3.org/2000/svg", "svg")
    drawn.setAttribute("viewBox", "0 0 16 16")
    drawn.setAttribute("aria-hidden", "true")
    const path = document.createElementNS("http://www.w3.org/2000/svg", "path")
    path.setAttribute("d", SIGNS[name])
    drawn.append(path)
    return drawn
  }
  const tools = (figure) => {
    const place = document.querySelector(`[data-root-id="${figure.id}"]`)
    const panel = place.closest(".panel")
    const dimensions = figure.tags.find((tag) => tag.startsWith("moves-"))?.slice("moves-".length)
    const renderers = figure.renderers.filter((one) => one.tags.includes("boxed"))
    const modes = [...(renderers.length > 0 ? ["mark"] : []), ...(dimensions === undefined ? [] : ["zoom", "move"])]
    // The drawing itself has no keyboard commands: its numbers stand in tables, its tools are buttons.
    for (const one of place.firstElementChild?.shadowRoot?.querySelectorAll("[tabindex]") ?? []) one.tabIndex = -1
    if (modes.length === 0) return
    const bar = panel.querySelector(".tools")
    const made = new Map()
    let mode = isTouch ? null : modes[0]
    const activate = () => {
      for (const [name, tool] of made) tool.active = name === mode
      for (const button of bar.children) if (button.value !== "reset") button.setAttribute("aria-pressed", String(button.value === mode))
    }
    // On first use, so that a page of many figures is drawn sooner.
    const give = () => {
      if (made.size > 0) return
      const {BoxZoomTool, PanTool, BoxSelectTool} = window.Bokeh.Models
      if (modes.includes("mark")) made.set("mark", new BoxSelectTool({renderers}))
      if (modes.includes("zoom")) {
        made.set("zoom", new BoxZoomTool({dimensions}))
        made.set("move", new PanTool({dimensions}))
      }
      figure.add_tools(...made.values())
      activate()
    }
    for (const name of [...modes, "reset"]) {
      bar.append(make("button", {type: "button", value: name, title: WORDS[name], "aria-label": WORDS[name], onclick: () => {
        if (name === "reset") return reset(figure)
        give()
        mode = mode === name ? null : name
        activate()
      }}, sign(name)))
    }
    activate()
    bar.hidden = false
    place.addEventListener("pointerenter", give, {once: true})
    panel.addEventListener("pointerdown", () => {
      for (const other of document.querySelectorAll(".panel.touched")) other.classList.toggle("touched", other === panel)
      panel.classList.add("touched")
    })
    figure.on_event("doubletap", () => reset(figure))
  }

  daskflow.figures = {fillIn, look, start}
})()
