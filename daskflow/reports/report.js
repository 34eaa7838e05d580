// The report: draws its figures in the reader's colours, and carries what is marked in one over to the others.
(() => {
  "use strict"
  const all = (selector, inside = document) => [...inside.querySelectorAll(selector)]
  const places = document.getElementById("figures")

  // Copy buttons, the current part in the contents: without any figure, too.
  for (const button of all(".copy")) {
    button.hidden = false
    button.addEventListener("click", async () => {
      const code = button.parentElement.querySelector("code")
      try {
        await navigator.clipboard.writeText(code.textContent)
      } catch {
        const range = document.createRange()
        range.selectNodeContents(code)
        getSelection().removeAllRanges()
        getSelection().addRange(range)
        document.execCommand("copy")
      }
      button.textContent = "Copied"
      setTimeout(() => { button.textContent = "Copy" }, 2000)
    })
  }
  const links = new Map(all(".contents a").map((link) => [link.getAttribute("href").slice(1), link]))
  const seen = new Set()
  const watcher = new IntersectionObserver((entries) => {
    for (const entry of entries) entry.isIntersecting ? seen.add(entry.target.id) : seen.delete(entry.target.id)
    const current = [...links.keys()].find((key) => seen.has(key))
    if (current === undefined) return
    for (const [key, link] of links) key === current ? link.setAttribute("aria-current", "true") : link.removeAttribute("aria-current")
  }, {rootMargin: "-10% 0px -70% 0px"})
  for (const key of links.keys()) watcher.observe(document.getElementById(key))

  if (places === null) return
  const draw = async () => {
    const {docs, items} = JSON.parse(daskflowLook.coloured(places.textContent))
    await window.Bokeh.embed.embed_items(docs, items)
    const doc = window.Bokeh.documents[0]
    dragging(doc)
    trials(doc)
    thresholds(doc)
    switches(doc)
    const done = () => { document.documentElement.dataset.drawn = "true" }
    if (doc.is_idle) done()
    else doc.idle.connect(done)
  }

  // What dragging does in all figures; on a phone nothing until it is asked for, so that the page scrolls.
  const dragging = (doc) => {
    const figures = doc.roots()
    let mode = "none"
    const tools = new Map()
    const activate = () => {
      for (const one of [...tools.values()].flat()) one.active = one.tags.includes(mode)
    }
    const apply = (wanted) => {
      mode = wanted
      activate()
    }
    const give = (figure) => {
      if (tools.has(figure)) return
      const {BoxZoomTool, PanTool, BoxSelectTool} = window.Bokeh.Models
      const dimensions = figure.tags.find((tag) => tag.startsWith("moves-"))?.slice("moves-".length)
      const renderers = figure.renderers.filter((renderer) => renderer.tags.includes("boxed"))
      const made = []
      if (dimensions !== undefined) {
        made.push(new BoxZoomTool({dimensions, tags: ["zoom"]}), new PanTool({dimensions, tags: ["move"]}))
      }
      if (renderers.length > 0) made.push(new BoxSelectTool({renderers, tags: ["mark"]}))
      tools.set(figure, made)
      if (made.length === 0) return
      figure.add_tools(...made)
      activate()
    }
    const box = document.querySelector(".dragging")
    const first = window.matchMedia("(pointer: coarse)").matches ? "none" : "zoom"
    box.hidden = false
    for (const input of all("input", box)) {
      input.checked = input.value === first
      input.addEventListener("change", () => apply(input.value))
    }
    apply(first)
    const reset = (figure) => figure.reset.emit()
    box.querySelector(".reset").addEventListener("click", () => figures.forEach(reset))
    for (const figure of figures) {
      figure.on_event("doubletap", () => reset(figure))
      const place = document.querySelector(`[data-root-id="${figure.id}"]`)
      place.addEventListener("pointerenter", () => give(figure), {once: true})
    }
    // The drawing itself has no keyboard commands: its numbers stand in the tables.
    for (const place of all("[data-root-id]")) {
      const events = place.firstElementChild?.shadowRoot?.querySelectorAll("[tabindex]") ?? []
      for (const one of events) one.tabIndex = -1
    }
  }

  const named = (doc, name) => doc.get_model_by_name(name)
  const changed = (source, action) => source.selected.properties.indices.change.connect(action)

  const trials = (doc) => {
    const source = named(doc, "trials_data")
    const live = document.querySelector("[data-live=trials]")
    if (source === null || live === null) return
    const corners = named(doc, "parallel_corners_data")
    const status = live.querySelector("p")
    const clear = live.querySelector("button")
    const rows = new Map(all("[data-marks=trials] tr[data-row]").map((row) => [Number(row.dataset.row), row]))
    const show = () => {
      const marked = new Set(source.selected.indices)
      for (const [place, row] of rows) {
        row.classList.toggle("chosen", marked.has(place))
        row.querySelector("input").checked = marked.has(place)
      }
      clear.hidden = marked.size === 0
      const inside = [...marked].filter((place) => rows.has(place)).length
      const scores = [...marked].map((place) => source.get("score")[place])
      const ids = [...marked].slice(0, 8).map((place) => source.get("trial")[place]).join(", ")
      const more = marked.size > 8 ? ` and ${marked.size - 8} more` : ""
      status.textContent = marked.size === 0 ? status.dataset.text
        : `${marked.size} ${marked.size === 1 ? "candidate" : "candidates"} marked (${ids}${more}), score ` +
          `${Math.min(...scores).toPrecision(4)} to ${Math.max(...scores).toPrecision(4)}; ${inside} in the leaderboard.`
    }
    changed(source, show)
    for (const [place, row] of rows) {
      row.querySelector("input").addEventListener("change", (event) => {
        const others = source.selected.indices.filter((one) => one !== place)
        source.selected.indices = event.target.checked ? [...others, place] : others
      })
    }
    clear.addEventListener("click", () => {
      if (corners !== null) corners.selected.indices = []
      source.selected.indices = []
    })
    if (corners !== null) {
      changed(corners, () => {
        const row = corners.get("row")
        const wanted = [...new Set([...corners.selected.indices].map((place) => row[place]))]
        if (wanted.length > 0) source.selected.indices = wanted
      })
    }
  }

  const thresholds = (doc) => {
    const source = named(doc, "thresholds_data")
    const table = document.querySelector("[data-marks=thresholds]")
    const live = document.querySelector("[data-live=thresholds]")
    if (source === null || table === null || live === null) return
    const status = live.querySelector("p")
    const back = live.querySelector("button")
    const rows = new Map(all("tr[data-row]", table).map((row) => [Number(row.dataset.row), row]))
    const inUse = Number(table.querySelector("tr.marked")?.dataset.row ?? -1)
    const nearest = (values, wanted) => {
      let best = 0
      for (let place = 1; place < values.length; place++) {
        if (!(Math.abs(values[place] - wanted) >= Math.abs(values[best] - wanted))) best = place
      }
      return best
    }
    const curve = (name, x, y, column, wanted) => {
      const points = named(doc, `${name}_data`)
      const marker = named(doc, `${name}_marker_data`)
      if (points === null || marker === null || points.get(column) === undefined) return
      const place = nearest(points.get(column), wanted)
      marker.data = {x: [points.get(x)[place]], y: [points.get(y)[place]]}
    }
    const has = (name) => source.columns().includes(name)
    const at = (name, place) => source.get(name)[place]
    const choose = (place) => {
      const threshold = at("threshold", place)
      for (const name of ["thresholds_line", "costs_line"]) {
        const line = named(doc, name)
        if (line !== null) line.location = threshold
      }
      curve("roc", "fpr", "tpr", "threshold", threshold)
      curve("precision_recall", "recall", "precision", "threshold", threshold)
      if (has("taken")) curve("gain", "share", "gain", "share", at("taken", place))
      const per = (name) => `${(100 * at(name, place)).toFixed(1)} %`
      const parts = []
      if (has("taken")) parts.push(`takes ${per("taken")} of the rows`)
      if (has("precision")) parts.push(`${per("precision")} of them are right`)
      if (has("recall")) parts.push(`${per("recall")} of the positives are found`)
      if (has("false_positive_rate")) parts.push(`${per("false_positive_rate")} of the negatives are taken wrongly`)
      if (has("cost")) parts.push(`cost ${at("cost", place).toPrecision(4)}`)
      status.textContent = `Threshold ${threshold.toPrecision(4)}: ${parts.join(", ")}.`
      back.hidden = place === inUse || inUse < 0
      for (const [other, row] of rows) {
        row.classList.toggle("chosen", other === place)
        row.querySelector("input").checked = other === place
      }
    }
    for (const [place, row] of rows) row.querySelector("input").addEventListener("change", () => choose(place))
    back.addEventListener("click", () => choose(inUse))
    const values = () => source.get("threshold")
    const tapped = (name, action) => {
      const figure = doc.roots().find((one) => one.name === name)
      figure?.on_event("tap", (event) => action(event))
    }
    tapped("thresholds", (event) => choose(nearest(values(), event.x)))
    tapped("costs", (event) => choose(nearest(values(), event.x)))
    const onCurve = (name, x, y) => (event) => {
      const points = named(doc, `${name}_data`)
      if (points.get("threshold") === undefined) return
      const distance = Array.from(points.get(x), (one, place) => Math.hypot(one - event.x, points.get(y)[place] - event.y))
      const threshold = points.get("threshold")[nearest(distance, 0)]
      if (Number.isFinite(threshold)) choose(nearest(values(), threshold))
    }
    tapped("roc", onCurve("roc", "fpr", "tpr"))
    tapped("precision_recall", onCurve("precision_recall", "recall", "precision"))
    if (has("taken")) tapped("gain", (event) => choose(nearest(source.get("taken"), event.x)))
  }

  const switches = (doc) => {
    for (const box of all(".switch")) {
      const figure = doc.roots().find((one) => one.name === box.dataset.figure)
      const buttons = all("button", box)
      for (const button of buttons) {
        button.addEventListener("click", () => {
          for (const one of buttons) one.setAttribute("aria-pressed", String(one === button))
          for (const renderer of figure.renderers) {
            const side = renderer.name?.match(/^cells_(.*)$/)?.[1]
            if (side !== undefined) renderer.glyph.text = {field: `${button.value}_${side}`}
          }
        })
      }
    }
  }

  // After the text is on the screen.
  const soon = () => requestAnimationFrame(() => setTimeout(draw, 0))
  if (document.readyState === "loading") document.addEventListener("DOMContentLoaded", soon)
  else soon()
})()
