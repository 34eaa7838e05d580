// The page: draws its figures, asks the feed, and shows in each place what came for it.
;(() => {
  "use strict"
  const {put} = daskflow
  const all = (selector, inside = document) => [...inside.querySelectorAll(selector)]

  const isNothing = (value) => value === null || value === undefined || value === "" || value.length === 0 ||
    value.rows?.length === 0 || value.states === "" || value.brackets?.length === 0

  // What a task does not have is left out, and its neighbours take the room.
  const fit = (row) => {
    row.dataset.columns ??= row.style.getPropertyValue("--columns")
    const widths = row.dataset.columns.split(/ (?=minmax)/)
    const kept = widths.filter((_, place) => !row.children[place].hidden)
    row.hidden = kept.length === 0
    row.style.setProperty("--columns", kept.join(" "))
  }

  // Widgets by the name of their value, and the switches of figures that have nothing to show yet.
  const places = () => {
    const found = new Map()
    for (const panel of all("[data-widget]")) {
      const body = panel.querySelector(".body")
      const update = daskflow.widgets[panel.dataset.kind](body, panel)
      const empty = panel.querySelector(".empty")
      found.set(panel.dataset.widget, (value) => {
        const is = isNothing(value)
        empty.hidden = !is
        body.hidden = is
        if (!is) update(value)
      })
    }
    for (const panel of all("[data-figure]")) {
      found.set(`${panel.dataset.figure}.empty`, (is) => {
        panel.classList.toggle("is-empty", Boolean(is))
        panel.querySelector(".empty").hidden = !is
      })
    }
    for (const panel of all(".panel")) {
      found.set(`${panel.dataset.figure ?? panel.dataset.widget}.hidden`, (is) => {
        panel.hidden = Boolean(is)
        fit(panel.parentElement)
      })
    }
    found.set("error", (text) => {
      const line = document.querySelector(".still-line")
      line.hidden = !text
      put(line.querySelector("p"), text)
    })
    return found
  }

  // A panel that cannot be shown leaves the others as they are.
  const guarded = (name, action) => {
    try {
      action()
    } catch (error) {
      console.error(`${name} cannot be shown:`, error)
    }
  }

  const start = async () => {
    const shown = places()
    const drawn = daskflow.figures.start()
    let isDrawn = false
    let waiting = []
    const draw = (news) => {
      for (const [name, piece] of Object.entries(news.columns ?? {})) if (!daskflow.figures.fillIn(name, piece)) feed.forget(name)
      for (const [name, {attributes}] of Object.entries(news.looks ?? {})) daskflow.figures.look(name, attributes)
    }
    const take = (news) => {
      for (const [name, {value}] of Object.entries(news.values ?? {})) guarded(name, () => shown.get(name)?.(value))
      if (isDrawn) guarded("figures", () => draw(news))
      else waiting.push(news)
      daskflow.trial.refresh()
      document.documentElement.dataset.told = String(Number(document.documentElement.dataset.told ?? 0) + 1)
    }
    daskflow.head.links()
    const feed = daskflow.feed.start({
      page: document.body.dataset.page, run: daskflow.head.run, take, header: daskflow.head.show, told: daskflow.head.connection,
    })
    daskflow.head.start(feed.wake)
    daskflow.trial.start()
    try {
      await drawn
    } catch (error) {
      shown.get("error")("Figures cannot be drawn in this browser; the numbers are right all the same.")
      console.debug(error)
      return
    }
    isDrawn = true
    waiting.forEach((news) => guarded("figures", () => draw(news)))
    waiting = []
    document.documentElement.dataset.drawn = "true"
  }

  if (document.readyState === "loading") document.addEventListener("DOMContentLoaded", start)
  else start()
})()
