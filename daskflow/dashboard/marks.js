// Marked trials: one set for the whole page, which figures and tables show and change.
;(() => {
  "use strict"
  const {make} = daskflow
  const MOST_LINKS = 6
  let marked = new Set()
  const listeners = []

  const set = (ids, origin = null) => {
    const wanted = new Set(ids)
    if (wanted.size === marked.size && [...wanted].every((id) => marked.has(id))) return
    marked = wanted
    for (const listen of listeners) listen(marked, origin)
  }
  const toggle = (id) => {
    const wanted = new Set(marked)
    if (!wanted.delete(id)) wanted.add(id)
    set(wanted)
  }
  const clear = () => set([])
  const has = (id) => marked.has(id)
  const listen = (action) => listeners.push(action)

  document.addEventListener("keydown", (event) => {
    if (event.key === "Escape" && document.querySelector("dialog[open]") === null) clear()
  })

  // The line that says what is marked, and leads to it.
  document.addEventListener("DOMContentLoaded", () => {
    const place = document.querySelector(".marked-line")
    const text = place.querySelector("p")
    place.querySelector("button").addEventListener("click", clear)
    listen((some) => {
      place.hidden = some.size === 0
      text.replaceChildren()
      if (some.size === 0) return
      text.append(make("strong", {text: `${some.size} ${some.size === 1 ? "trial" : "trials"} marked`}), " ")
      const first = [...some].slice(0, MOST_LINKS)
      for (const id of first) text.append(make("a", {href: `#trial=${encodeURIComponent(id)}`, text: id}), " ")
      if (some.size > first.length) text.append(make("span", {text: `and ${some.size - first.length} more`}))
    })
  })

  daskflow.marks = {clear, has, listen, set, size: () => marked.size, toggle}
})()
