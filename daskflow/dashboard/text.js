// Texts and elements: whatever came from the server becomes text, never markup.
const daskflow = {widgets: {}}
;(() => {
  "use strict"
  // Characters that change the direction of the text after them: a name must not rewrite its sentence.
  const TURNS = /[\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]/g
  const clean = (value) => String(value ?? "").replace(TURNS, "\ufffd")

  const put = (element, value) => {
    const text = clean(value)
    if (element.textContent !== text) element.textContent = text
  }

  // An element: `text` is its text, `class` its classes, what begins with "on" listens, true and false are
  // attributes that are there or not.
  const make = (tag, attributes = {}, ...children) => {
    const made = document.createElement(tag)
    for (const [name, value] of Object.entries(attributes)) {
      if (name === "text") made.textContent = clean(value)
      else if (name === "class") made.className = value
      else if (name.startsWith("on")) made.addEventListener(name.slice(2), value)
      else if (value === true) made.setAttribute(name, "")
      else if (value !== false && value !== null && value !== undefined) made.setAttribute(name, clean(value))
    }
    made.append(...children)
    return made
  }

  // As many children as there are items: those that are there are kept and changed, so that nothing flickers.
  const keep = (parent, items, build, change) => {
    while (parent.children.length > items.length) parent.lastElementChild.remove()
    items.forEach((item, place) => {
      if (place === parent.children.length) parent.append(build(item))
      change(parent.children[place], item, place)
    })
  }

  const isNumber = (value) => typeof value === "number" && Number.isFinite(value)
  const whole = new Intl.NumberFormat("en", {maximumFractionDigits: 0})

  // A number as people write it.
  const number = (value) => {
    if (!isNumber(value)) return value === null || value === undefined ? "–" : clean(value)
    const size = Math.abs(value)
    if (Number.isInteger(value) && size < 1e15) return whole.format(value)
    if (size >= 1000 && size < 1e15) return value.toLocaleString("en", {minimumFractionDigits: 1, maximumFractionDigits: 1})
    if (size >= 0.01 && size < 100) return value.toFixed(4)
    const short = Number(value.toPrecision(4))
    return size > 0 && size < 1e-4 ? short.toExponential() : String(short)
  }

  const bytes = (value) => {
    if (!isNumber(value)) return "–"
    let rest = value
    for (const unit of ["bytes", "KiB", "MiB", "GiB"]) {
      if (Math.abs(rest) < 1024) return `${unit === "bytes" ? rest : rest.toFixed(rest < 10 ? 1 : 0)} ${unit}`
      rest /= 1024
    }
    return `${rest.toFixed(1)} TiB`
  }

  const duration = (seconds) => {
    if (!isNumber(seconds)) return "–"
    if (seconds < 10) return `${Number(seconds.toPrecision(2))} s`
    if (seconds < 60) return `${Math.round(seconds)} s`
    const all = Math.round(seconds)
    const [hours, minutes, rest] = [Math.floor(all / 3600), Math.floor(all / 60) % 60, all % 60]
    return hours > 0 ? `${hours} h ${minutes} min` : `${minutes} min ${rest} s`
  }

  // Times of day in the reader's own zone; with the day when it is another one.
  const time = (at) => (isNumber(at) ? new Date(at * 1000).toLocaleTimeString("en-GB") : "–")
  const day = (at) => (isNumber(at) ? new Date(at * 1000).toLocaleDateString("en-CA") : "")
  const clock = (at) => (!isNumber(at) || day(at) === day(Date.now() / 1000) ? time(at) : `${day(at)} ${time(at)}`)

  const value = (one) => {
    if (one === null || one === undefined) return "none"
    if (typeof one === "number") return isNumber(one) && !Number.isInteger(one) ? String(Number(one.toPrecision(4))) : String(one)
    if (typeof one === "object") return JSON.stringify(one)
    return clean(one)
  }
  const params = (some) =>
    Object.entries(some ?? {}).map(([name, one]) => `${clean(name)} = ${value(one)}`).join(", ") || "(defaults)"

  Object.assign(daskflow, {bytes, clean, clock, day, duration, isNumber, keep, make, number, params, put, time, value})
})()
