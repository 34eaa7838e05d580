// The head of the page: which run, how it is, what may be asked of it, and the clock of a replay.
;(() => {
  "use strict"
  const {clean, clock, duration, make, put} = daskflow
  const find = (selector) => document.querySelector(selector)
  let header = null
  let wake = () => {}

  const run = () => new URLSearchParams(location.search).get("run") ?? document.body.dataset.run ?? ""

  const answer = (text, ok = true) => {
    const place = find(".answer-line")
    place.hidden = text === ""
    place.dataset.ok = String(ok)
    put(place.querySelector("p"), text)
  }

  // Runs ----------------------------------------------------------------------------------------------------------

  const links = () => {
    const chosen = run()
    for (const link of document.querySelectorAll("a[data-page]")) {
      link.href = chosen === "" ? link.dataset.page : `${link.dataset.page}?run=${encodeURIComponent(chosen)}`
    }
  }
  const runs = (known) => {
    const place = find(".runs")
    place.hidden = known.length < 2
    const select = place.querySelector("select")
    const now = JSON.stringify(known)
    if (select.dataset.now === now) return
    select.dataset.now = now
    select.replaceChildren(...known.map((one) => make("option", {value: one.id, selected: one.id === header.id,
      text: `${one.name} ${one.id} (${one.status})`})))
  }

  // Commands ------------------------------------------------------------------------------------------------------

  const ask = async (body) => {
    const said = await daskflow.feed.post("daskflow-do", {run: header.id, ...body})
    answer(said.told, said.ok)
    wake()
    return said
  }

  // A dialog that says what will happen before it does.
  const confirm = (title, text, verb, extra = null) => new Promise((resolve) => {
    const box = find("#confirm")
    put(box.querySelector("h2"), title)
    put(box.querySelector("p"), text)
    const fields = box.querySelector(".fields")
    fields.replaceChildren(...(extra === null ? [] : [extra]))
    const button = box.querySelector("button[value=yes]")
    put(button, verb)
    box.returnValue = ""
    box.addEventListener("close", () => resolve(box.returnValue === "yes"), {once: true})
    box.showModal()
    if (extra === null) box.querySelector("button[value=no]").focus()
    else extra.querySelector("input").focus()
  })

  const budget = () => {
    const field = (name, label, unit, step) => make("label", {}, make("span", {text: label}),
      make("input", {type: "number", name, min: "0", step, inputmode: "decimal", placeholder: "0"}), make("span", {class: "unit", text: unit}))
    const {wall_seconds: time, cpu_hours: hours, trials} = header.limits ?? {}
    return make("div", {class: "budget"},
      ...(time === undefined ? [] : [field("minutes", `Time, now ${duration(time)}`, "minutes", "any")]),
      ...(hours === undefined ? [] : [field("cpu_hours", `Processor, now ${daskflow.number(hours)} CPU-hours`, "CPU-hours", "any")]),
      ...(trials === undefined ? [] : [field("trials", `Candidates, now ${daskflow.number(trials)}`, "trials", "1")]))
  }

  const ACTS = {
    pause: () => ask({command: header.status === "paused" ? "resume" : "pause"}),
    stop: async () => {
      const text = "No new fits are begun, those that run are given up, and the best so far is kept: it is refitted and " +
        "evaluated, and the report is written. A search that was stopped does not go on."
      if (await confirm("Stop the search and keep the best?", text, "Stop and keep the best")) await ask({command: "stop"})
    },
    extend: async () => {
      const form = budget()
      if (!(await confirm("Extend the budget", "What is added to the limits of the search, beyond what it has now:", "Add", form))) return
      const value = (name) => Number(form.querySelector(`[name=${name}]`)?.value) || 0
      const added = {wall_seconds: 60 * value("minutes"), cpu_hours: value("cpu_hours"), trials: Math.round(value("trials"))}
      const some = Object.fromEntries(Object.entries(added).filter(([, amount]) => amount > 0))
      if (Object.keys(some).length === 0) answer("Nothing was added: every field was empty.", false)
      else await ask({command: "extend", ...some})
    },
  }
  const reason = () => {
    if (document.documentElement.dataset.connected === "false") return "There is no contact with the run."
    if (header.replay !== null) return "This is a replay: nothing can be changed."
    if (header.status === "waiting") return "Nothing has been told yet."
    if (header.over) return "The run is over: there is nothing to change."
    if (header.too_late) return "The search is over: there is nothing left to change."
    return header.can_act ? "" : "These pages only show the run."
  }
  const OVER = {
    done: "The run is over: this page shows how it ended, and does not change any more.",
    failed: "The run failed. The same command goes on where it was, and so does this page.",
    interrupted: "The run was interrupted. The same command goes on where it was, and so does this page.",
  }
  const isUnlimited = () => Object.keys(header.limits ?? {}).length === 0
  const acts = () => {
    const why = reason()
    const place = find(".acts")
    place.hidden = header.replay !== null
    put(place.querySelector(".why"), why)
    const isShown = !header.is_read_only && (header.over || header.can_act || header.too_late || header.status === "waiting")
    place.querySelector(".why").classList.toggle("hidden", isShown)
    for (const button of place.querySelectorAll("button")) {
      button.hidden = !isShown
      const own = why || (button.value === "extend" && isUnlimited() ? "This search has no limit that could be extended." : "")
      button.disabled = own !== "" || (button.value !== "pause" && header.status === "stopping")
      button.title = own
    }
    const pause = place.querySelector("[value=pause]")
    put(pause, header.status === "paused" ? "Go on" : "Pause")
    if (header.status === "stopping") pause.disabled = true
  }

  // Replay --------------------------------------------------------------------------------------------------------

  let isSliding = false
  const replay = (told) => {
    const place = find(".replay")
    place.hidden = told === null
    if (told === null) return
    const button = place.querySelector(".play")
    const isAtEnd = told.at >= told.last
    put(button, told.paused || isAtEnd ? "Play" : "Hold")
    button.dataset.paused = String(told.paused)
    button.dataset.end = String(isAtEnd)
    for (const one of place.querySelectorAll("[data-speed]")) one.setAttribute("aria-pressed", String(Number(one.dataset.speed) === told.speed))
    if (isSliding) return
    const slider = place.querySelector("input")
    slider.max = String(Math.max(1, told.last - told.first))
    slider.value = String(told.at - told.first)
    moment(told)
  }
  const moment = (told) => {
    const slider = find(".replay input")
    const gone = Number(slider.value)
    const text = `${duration(gone)} of ${duration(told.last - told.first)}`
    put(find(".replay output"), `${text}, ${clock(told.first + gone)}`)
    slider.setAttribute("aria-valuetext", text)
  }
  const setReplay = async (body) => {
    const said = await daskflow.feed.post("daskflow-replay", {run: header.id, ...body})
    if (!said.ok) answer(said.told, false)
    wake()
  }

  // The whole head ------------------------------------------------------------------------------------------------

  const show = (told) => {
    header = told
    put(find(".name"), told.name)
    find(".name").title = `run ${clean(told.id)}`
    const status = find(".status")
    put(status, told.status)
    status.className = `status ${/^[a-z]+$/.test(told.status) ? told.status : ""}`
    put(find(".truth"), told.truth ?? told.title)
    find(".truth").title = clean(told.truth ?? told.title)
    document.title = `${clean(told.truth ?? told.status)} · ${clean(told.name)}`
    put(find(".error-line p"), told.error)
    find(".error-line").hidden = !told.error
    put(find(".over-line p"), told.over && told.replay === null ? OVER[told.status] ?? "" : "")
    find(".over-line").hidden = find(".over-line p").textContent === ""
    find(".dask").hidden = !told.dask
    runs(told.runs ?? [])
    acts()
    replay(told.replay ?? null)
  }

  const connection = (text) => {
    const place = find(".connection-line")
    place.hidden = text === ""
    put(place.querySelector("p"), text)
    document.documentElement.dataset.connected = String(text === "")
    if (header !== null) acts()
  }

  const start = (wakeFeed) => {
    wake = wakeFeed
    find(".runs select").addEventListener("change", (event) => {
      const query = new URLSearchParams(location.search)
      query.set("run", event.target.value)
      location.search = String(query)
    })
    for (const button of document.querySelectorAll(".acts button")) button.addEventListener("click", () => ACTS[button.value]())
    find(".answer-line button").addEventListener("click", () => answer(""))
    const place = find(".replay")
    place.querySelector(".play").addEventListener("click", (event) => {
      const {paused, end} = event.currentTarget.dataset
      if (end === "true") setReplay({at: header.replay.first, paused: false})
      else setReplay({paused: paused !== "true"})
    })
    for (const one of place.querySelectorAll("[data-speed]")) one.addEventListener("click", () => setReplay({speed: Number(one.dataset.speed)}))
    const slider = place.querySelector("input")
    slider.addEventListener("input", () => {
      isSliding = true
      moment(header.replay)
    })
    slider.addEventListener("change", async () => {
      await setReplay({at: header.replay.first + Number(slider.value)})
      isSliding = false
    })
    // Where it was let go at the moment it was taken from, nothing has changed.
    for (const name of ["pointerup", "pointercancel", "blur"]) slider.addEventListener(name, () => setTimeout(() => { isSliding = false }, 0))
    // A menu closes when the reader goes elsewhere.
    document.addEventListener("click", (event) => {
      for (const menu of document.querySelectorAll("details.dask[open]")) if (!menu.contains(event.target)) menu.open = false
    })
  }

  daskflow.head = {answer, ask, confirm, connection, links, reason: () => (header === null ? "" : reason()), run, show, start}
})()
