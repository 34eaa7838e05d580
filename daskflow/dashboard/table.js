// Tables: of any length, because only the rows that are in sight are elements; sorted and filtered in the page.
;(() => {
  "use strict"
  const {bytes, clean, clock, duration, fill, isNumber, keep, make, number, params, put} = daskflow
  const ROW = 30
  const MOST_IN_SIGHT = 13
  const BEYOND = 6
  const SEARCHED_FROM = 9
  const SAMPLED = 400
  const RIGHT = new Set(["number", "time", "bytes"])
  const order = new Intl.Collator("en", {numeric: true})

  // So many decimals as the numbers of a column have, four at most (six of small ones): what stands below each other can
  // be compared. None where they are too small for that.
  const decimals = (values) => {
    const numbers = values.filter((one) => isNumber(one) && one !== 0 && Math.abs(one) < 1000)
    const most = numbers.some((one) => Math.abs(one) >= 0.01) ? 4 : 6
    let needed = 0
    for (const one of numbers) {
      if (Math.abs(one) < 10 ** -most) return null
      const text = String(Number(one.toFixed(most)))
      needed = Math.max(needed, text.includes(".") ? text.length - text.indexOf(".") - 1 : 0)
    }
    // Beside thousands, which have one.
    const some = values.filter((one) => isNumber(one) && one !== 0).map(Math.abs)
    return some.some((one) => one >= 1000) && some.every((one) => one >= 10) ? Math.min(1, needed) : needed
  }
  const words = (kind, value, digits) => {
    if (value === null || value === undefined || value === "") return "–"
    if (kind === "number") return isNumber(value) && isNumber(digits) && Math.abs(value) < 1000 ? value.toFixed(digits) : number(value)
    if (kind === "bytes") return isNumber(value) ? bytes(value) : clean(value)
    if (kind === "time") return isNumber(value) ? (value > 1e8 ? clock(value) : duration(value)) : clean(value)
    if (kind === "params") return typeof value === "object" ? params(value) : clean(value)
    if (kind === "bar") return typeof value === "object" ? clean(value.text) : isNumber(value) ? `${Math.round(100 * value)} %` : clean(value)
    return typeof value === "object" ? daskflow.value(value) : typeof value === "number" ? number(value) : clean(value)
  }
  const rank = (value) => (value !== null && typeof value === "object" ? value.share ?? daskflow.value(value) : value)
  const isNothing = (value) => value === null || value === undefined || value === ""
  // Nothing comes last, whatever the direction.
  const compared = (key, sign) => (one, other) => {
    const [left, right] = [rank(one[key]), rank(other[key])]
    if (isNothing(left) || isNothing(right)) return Number(isNothing(left)) - Number(isNothing(right))
    if (typeof left === "number" && typeof right === "number") return sign * (left - right)
    return sign * order.compare(clean(left), clean(right))
  }

  const cellOf = (kind, value, cell, digits) => {
    if (kind === "bar") {
      if (cell.firstElementChild === null) cell.append(make("div", {class: "bar", "aria-hidden": "true"}, make("span")), make("span"))
      fill(cell.firstElementChild, value !== null && typeof value === "object" ? value.share : value, false)
      put(cell.lastElementChild, words(kind, value))
      return
    }
    put(cell, words(kind, value, digits))
    cell.title = cell.textContent.length > 24 ? cell.textContent : ""
  }

  daskflow.widgets.table = (body, panel) => {
    const search = make("input", {type: "search", placeholder: "Find rows", "aria-label": "Show only rows with this text"})
    const onlyMarked = make("button", {type: "button", "aria-pressed": "false", text: "Marked only", hidden: true})
    const told = make("span", {class: "told", role: "status"})
    const bar = make("div", {class: "table-bar", hidden: true}, search, onlyMarked, told)
    const widths = make("colgroup")
    const heads = make("tr")
    const rows = make("tbody")
    const [above, below] = [make("tbody"), make("tbody")].map((one) => {
      one.append(make("tr", {"aria-hidden": "true"}, make("td", {class: "space"})))
      return one
    })
    const table = make("table", {}, widths, make("thead", {}, heads), above, rows, below)
    const scroll = make("div", {class: "rows", tabindex: "0", role: "region", "aria-labelledby": panel.getAttribute("aria-labelledby")}, table)
    body.append(bar, scroll)

    let value = {columns: [], rows: []}
    let shown = []
    let sort = {key: null, sign: 1}
    let signature = ""
    let hasTrials = false
    const room = new Map()
    const digits = new Map()

    const arrange = () => {
      const asked = search.value.trim().toLowerCase()
      const kept = value.rows.filter((row) => {
        if (onlyMarked.getAttribute("aria-pressed") === "true" && !daskflow.marks.has(row.trial)) return false
        return asked === "" || value.columns.some((column) => words(column.kind, row[column.key]).toLowerCase().includes(asked))
      })
      shown = sort.key === null ? kept : kept.sort(compared(sort.key, sort.sign))
      const more = value.more ? ` (${number(value.more)} more are not listed)` : ""
      const all = value.rows.length
      put(told, shown.length === all ? `${number(all)} rows${more}` : `${number(shown.length)} of ${number(all)} rows${more}`)
    }

    const build = () => {
      const row = make("tr")
      if (hasTrials) row.append(make("td", {class: "pick"}, make("input", {type: "checkbox"})))
      for (const column of value.columns) row.append(make("td", {class: RIGHT.has(column.kind) ? "number" : column.kind === "bar" ? "barred" : ""}))
      row.addEventListener("click", (event) => {
        if (row.dataset.trial === undefined || event.target.closest("a") !== null) return
        if (event.target.closest(".pick") !== null) daskflow.marks.toggle(row.dataset.trial)
        else if (String(getSelection()) === "") location.hash = `trial=${encodeURIComponent(row.dataset.trial)}`
      })
      return row
    }
    const change = (row, one) => {
      const isTrial = one.trial !== undefined && one.trial !== null
      if (isTrial) row.dataset.trial = one.trial
      else delete row.dataset.trial
      row.dataset.level = one.level ?? ""
      const isMarked = isTrial && daskflow.marks.has(one.trial)
      row.classList.toggle("chosen", isMarked)
      if (hasTrials) {
        const box = row.firstElementChild.firstElementChild
        box.hidden = !isTrial
        box.checked = isMarked
        box.setAttribute("aria-label", `Mark trial ${clean(one.trial)}`)
      }
      value.columns.forEach((column, place) => {
        const cell = row.children[place + Number(hasTrials)]
        if (place > 0 || !isTrial) return cellOf(column.kind, one[column.key], cell, digits.get(column.key))
        if (cell.firstElementChild === null) cell.append(make("a", {}))
        cell.firstElementChild.setAttribute("href", `#trial=${encodeURIComponent(one.trial)}`)
        put(cell.firstElementChild, words(column.kind, one[column.key]))
      })
    }
    const draw = () => {
      const first = Math.max(0, Math.min(Math.floor(scroll.scrollTop / ROW) - BEYOND, shown.length - MOST_IN_SIGHT - 2 * BEYOND))
      const last = Math.min(shown.length, first + MOST_IN_SIGHT + 2 * BEYOND)
      above.firstElementChild.firstElementChild.style.height = `${first * ROW}px`
      below.firstElementChild.firstElementChild.style.height = `${(shown.length - last) * ROW}px`
      table.setAttribute("aria-rowcount", String(shown.length + 1))
      keep(rows, shown.slice(first, last), build, (row, one, place) => {
        row.setAttribute("aria-rowindex", String(first + place + 2))
        change(row, one)
      })
    }
    const redo = () => {
      arrange()
      draw()
    }

    const head = () => {
      keep(heads, hasTrials ? [{key: null, title: ""}, ...value.columns] : value.columns, () => make("th", {scope: "col"}), (cell, column) => {
        cell.replaceChildren()
        cell.className = RIGHT.has(column.kind) ? "number" : ""
        if (column.key === null) return cell.append(make("span", {class: "hidden", text: "Marked"}))
        const direction = sort.key !== column.key ? "none" : sort.sign > 0 ? "ascending" : "descending"
        cell.setAttribute("aria-sort", direction)
        cell.append(make("button", {type: "button", text: column.title, title: clean(column.title), onclick: () => {
          const first = RIGHT.has(column.kind) || column.kind === "bar" ? -1 : 1
          if (sort.key !== column.key) sort = {key: column.key, sign: first}
          else if (sort.sign === first) sort = {key: column.key, sign: -first}
          else sort = {key: null, sign: 1}
          head()
          redo()
          heads.children[[...heads.children].indexOf(cell)]?.firstElementChild?.focus()
        }}))
      })
    }
    // Columns are as wide as their longest text so far: they never become narrower, so nothing jumps.
    const measure = () => {
      const step = Math.max(1, Math.floor(value.rows.length / SAMPLED))
      let total = hasTrials ? 34 : 0
      const wanted = value.columns.map((column, place) => {
        let longest = clean(column.title).length + 2
        if (column.kind === "number") digits.set(column.key, decimals(value.rows.map((row) => row[column.key])))
        for (let place = 0; place < value.rows.length; place += step) {
          longest = Math.max(longest, words(column.kind, value.rows[place][column.key], digits.get(column.key)).length + (column.kind === "bar" ? 9 : 0))
        }
        const most = column.kind === "params" ? 60 : column.kind === "text" ? 36 : 26
        room.set(column.key, Math.max(room.get(column.key) ?? 0, Math.min(most, Math.max(6, longest))))
        // Text behind a number stands further off, and the best row is bold.
        const beside = RIGHT.has(column.kind) ? 24 : RIGHT.has(value.columns[place - 1]?.kind) ? 44 : column.kind === "state" ? 38 : 33
        return room.get(column.key) * 7.4 + beside
      })
      total += wanted.reduce((sum, one) => sum + one, 0)
      keep(widths, hasTrials ? [34, ...wanted] : wanted, () => make("col"), (col, width) => {
        col.style.width = `${width}px`
      })
      table.style.minWidth = `${Math.round(total)}px`
    }

    scroll.addEventListener("scroll", draw, {passive: true})
    search.addEventListener("input", () => {
      scroll.scrollTop = 0
      redo()
    })
    onlyMarked.addEventListener("click", () => {
      onlyMarked.setAttribute("aria-pressed", String(onlyMarked.getAttribute("aria-pressed") !== "true"))
      redo()
    })
    daskflow.marks.listen((marked) => {
      if (!hasTrials) return
      onlyMarked.hidden = marked.size === 0
      if (marked.size === 0) onlyMarked.setAttribute("aria-pressed", "false")
      redo()
    })

    return (given) => {
      value = given
      hasTrials = value.rows.some((row) => row.trial !== undefined && row.trial !== null)
      const now = JSON.stringify([value.columns, hasTrials])
      if (now !== signature) {
        signature = now
        rows.replaceChildren()
        if (!value.columns.some((column) => column.key === sort.key)) sort = {key: null, sign: 1}
        head()
      }
      if (value.rows.length >= SEARCHED_FROM) bar.hidden = false
      scroll.classList.toggle("tall", value.rows.length > MOST_IN_SIGHT)
      measure()
      redo()
    }
  }
})()
