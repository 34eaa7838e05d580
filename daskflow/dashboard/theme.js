// Light or dark: as the system is, until the reader chooses; the choice is remembered by the browser.
(() => {
  "use strict"
  const KEY = "daskflow-theme"
  const root = document.documentElement
  const remembered = () => {
    try {
      return localStorage.getItem(KEY)
    } catch {
      return null
    }
  }
  const chosen = remembered()
  if (chosen === "light" || chosen === "dark") root.dataset.theme = chosen
  document.addEventListener("DOMContentLoaded", () => {
    const button = document.querySelector(".theme")
    const show = () => {
      const text = daskflowLook.isDark() ? "Light colours" : "Dark colours"
      button.setAttribute("aria-label", text)
      button.title = text
      button.dataset.shows = daskflowLook.isDark() ? "dark" : "light"
    }
    button.addEventListener("click", () => {
      root.dataset.theme = daskflowLook.isDark() ? "light" : "dark"
      try {
        localStorage.setItem(KEY, root.dataset.theme)
      } catch {
        // Not remembered where the browser keeps nothing.
      }
      daskflowLook.follow()
      document.dispatchEvent(new Event("daskflow-theme"))
      show()
    })
    window.matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => {
      document.dispatchEvent(new Event("daskflow-theme"))
      show()
    })
    show()
  })
})()
