// Choosing columns by name, kind and findings.
(() => {
  "use strict"
  const wanted = document.getElementById("wanted")
  const remarkable = document.getElementById("remarkable")
  const kinds = [...document.querySelectorAll(".chooser .kind")]
  const cards = [...document.querySelectorAll(".card")]
  const shown = document.getElementById("shown")
  if (!wanted || !shown) return
  const choose = () => {
    const text = wanted.value.trim().toLowerCase()
    const chosen = new Set(kinds.filter((kind) => kind.checked).map((kind) => kind.value))
    let count = 0
    for (const card of cards) {
      const fits = card.dataset.name.includes(text) && (kinds.length === 0 || chosen.has(card.dataset.kind)) &&
        (!remarkable.checked || card.dataset.findings !== "0")
      card.hidden = !fits
      count += fits
    }
    shown.textContent = count === cards.length ? `${count} columns` : `${count} of ${cards.length} columns`
  }
  for (const element of [wanted, remarkable, ...kinds]) element.addEventListener("input", choose)
  window.addEventListener("hashchange", () => {
    const card = document.getElementById(location.hash.slice(1))
    if (card?.hidden) {
      wanted.value = ""
      remarkable.checked = false
      for (const kind of kinds) kind.checked = true
      choose()
      card.scrollIntoView()
    }
  })
})()
