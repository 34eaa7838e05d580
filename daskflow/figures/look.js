// Figures in the colours of the page: light or dark as the reader's system is or as the page says, and light on paper.
const daskflowLook = (() => {
  "use strict"
  const INK_TAG = "ink"
  const PLATE_TAG = "plate"
  const LIGHT = {ink: "#1f2328", soft: "#57606a", grid: "#d8dee4", plate: "#fefeff"}
  const DARK = {ink: "#e6edf3", soft: "#9ea7b3", grid: "#343b44", plate: "#171c23"}
  const system = window.matchMedia("(prefers-color-scheme: dark)")
  const isDark = () => {
    const chosen = document.documentElement.dataset.theme
    return chosen === undefined ? system.matches : chosen === "dark"
  }
  // Figures as JSON, before they are drawn: so they never are seen in the other colours.
  const coloured = (text) => {
    if (!isDark() || window.matchMedia("print").matches) return text
    for (const name of Object.keys(LIGHT)) text = text.replaceAll(LIGHT[name], DARK[name])
    return text
  }
  const paint = (colours) => {
    for (const document of window.Bokeh?.documents ?? []) {
      for (const root of document.roots()) {
        for (const model of root.references()) {
          if (model.type.endsWith("Axis")) {
            model.setv({axis_label_text_color: colours.soft, major_label_text_color: colours.soft,
                        axis_line_color: colours.grid, major_tick_line_color: colours.grid})
          } else if (model.type === "Grid") {
            model.setv({grid_line_color: model.grid_line_color === null ? null : colours.grid})
          } else if (model.type === "Legend") {
            model.setv({label_text_color: colours.soft})
          } else if (model.tags.includes(INK_TAG)) {
            model.setv({text_color: {value: colours.ink}})
            if (model.tags.includes(PLATE_TAG)) model.setv({background_fill_color: {value: colours.plate}})
          }
        }
      }
    }
  }
  const follow = () => paint(isDark() ? DARK : LIGHT)
  system.addEventListener("change", follow)
  // A print takes what is on the canvases now: it does not wait for the next frame.
  window.addEventListener("beforeprint", () => {
    if (!isDark()) return
    paint(LIGHT)
    for (const document of window.Bokeh?.documents ?? []) {
      for (const root of document.roots()) {
        const view = window.Bokeh.index.get(root)
        for (const part of view?.renderer_views?.values() ?? []) {
          if (part.model.glyph?.tags.includes(INK_TAG)) part.glyph?.set_visuals?.(part.model.data_source, part.all_indices)
        }
        view?.repaint?.()
      }
    }
  })
  window.addEventListener("afterprint", follow)
  const wait = (tries) => {
    const places = document.querySelectorAll("[data-root-id]").length
    const drawn = (window.Bokeh?.documents ?? []).reduce((sum, one) => sum + one.roots().length, 0)
    if (places === 0) return
    if (drawn >= places) follow()
    else if (tries > 0) setTimeout(() => wait(tries - 1), 50)
  }
  if (document.readyState === "complete") wait(400)
  else window.addEventListener("load", () => wait(400))
  return {coloured, follow, isDark}
})()
