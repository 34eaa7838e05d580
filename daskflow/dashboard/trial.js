// The panel of one trial: everything that is known of it, at an address of its own (#trial=2-0).
;(() => {
  "use strict"
  const {clean, clock, duration, isNumber, make, number, put, value} = daskflow
  const FRESH = 3000
  let shown = ""
  let asked = 0
  let known = ""
  let looked = 0

  const wanted = () => {
    const found = /^#trial=(.+)$/.exec(location.hash)
    if (found === null) return ""
    try {
      return decodeURIComponent(found[1])
    } catch {
      return found[1]
    }
  }

  const facts = (pairs) => {
    const list = make("dl", {class: "facts"})
    for (const [name, text] of pairs) {
      if (text === "" || text === null || text === undefined) continue
      list.append(make("dt", {text: name}), make("dd", {text}))
    }
    return list
  }
  const part = (title, ...content) => make("section", {}, make("h3", {text: title}), ...content)
  const table = (heads, rows) => make("div", {class: "scroll", tabindex: "0", role: "region", "aria-label": heads.join(", ")},
    make("table", {}, make("thead", {}, make("tr", {}, ...heads.map((text, place) => make("th", {scope: "col", class: place ? "number" : "", text})))),
      make("tbody", {}, ...rows.map((row) => make("tr", {}, ...row.map((text, place) => make("td", {class: place ? "number" : "", text})))))))

  const scores = (trial) => {
    const folds = trial.folds ?? []
    if (folds.length === 0) return null
    const numbers = [...new Set(folds.map((one) => one.fold))].sort((a, b) => a - b)
    const resources = [...new Set(folds.map((one) => one.resource))].sort((a, b) => a - b)
    const at = new Map(folds.map((one) => [`${one.resource} ${one.fold}`, one.score]))
    const mean = new Map((trial.curve ?? []).map((one) => (Array.isArray(one) ? one : [one.resource, one.score])))
    const text = (score) => (score === undefined ? "" : isNumber(score) ? number(score) : "failed")
    return table(["Resource", "All folds", ...numbers.map((fold) => `Fold ${fold}`)],
      resources.map((resource) => [number(resource), mean.has(resource) ? text(mean.get(resource)) : "–",
        ...numbers.map((fold) => text(at.get(`${resource} ${fold}`)))]))
  }
  const STATES = {waiting: "waits", running: "runs", scored: "has its score", failed: "failed", cancelled: "was cancelled"}

  const fill = (place, trial) => {
    const parts = [part("Parameters", facts(Object.entries(trial.params ?? {}).map(([name, one]) => [name, value(one)])))]
    if (Object.keys(trial.params ?? {}).length === 0) parts[0].append(make("p", {text: "The defaults."}))
    const table = scores(trial)
    parts.push(part(`Scores${trial.metric ? ` (${clean(trial.metric)})` : ""}`, table ?? make("p", {text: "No fold has ended yet."})))
    const metrics = Object.entries(trial.metrics ?? {})
    if (metrics.length > 0) parts.push(part("Metrics, mean over the folds", facts(metrics.map(([name, one]) => [name, number(one)]))))
    const workers = [...new Set(trial.workers ?? [])]
    parts.push(part("Where and when", facts([
      ["State", STATES[trial.state] ?? trial.state],
      ["Bracket", trial.bracket === null || trial.bracket === undefined ? "" : number(trial.bracket)],
      ["Began", isNumber(trial.began) ? clock(trial.began) : ""],
      ["Last fit ended", isNumber(trial.ended) ? clock(trial.ended) : ""],
      ["Time of its fits", isNumber(trial.seconds) ? duration(trial.seconds) : ""],
      ["Processor", isNumber(trial.cpu_seconds) ? duration(trial.cpu_seconds) : ""],
      [workers.length === 1 ? "Worker" : "Workers", workers.join(", ")],
    ])))
    if (trial.error) parts.push(part("Why it failed", make("p", {class: "bad", text: trial.error})))
    if (trial.log) parts.push(part("The end of its log", make("pre", {tabindex: "0", text: trial.log})))
    place.replaceChildren(...parts)
  }

  const load = async () => {
    const id = wanted()
    const box = document.getElementById("trial")
    if (id === "") {
      if (box.open) box.close()
      return
    }
    const turn = ++asked
    if (id !== shown) {
      put(box.querySelector("h2"), `Trial ${clean(id)}`)
      box.querySelector(".content").replaceChildren(make("p", {class: "soft", text: "Loading…"}))
      put(box.querySelector(".told"), "")
      known = ""
    }
    shown = id
    looked = performance.now()
    if (!box.open) box.showModal()
    const query = new URLSearchParams({trial: id})
    if (daskflow.head.run() !== "") query.set("run", daskflow.head.run())
    let trial = null
    let said = "The server could not be reached."
    try {
      const answer = await fetch(`daskflow-trial?${query}`, {cache: "no-store"})
      const told = await answer.json()
      if (answer.ok) trial = told
      else said = told.error ?? `The server answered ${answer.status}.`
    } catch {
      // said above
    }
    if (turn !== asked || !box.open) return
    const content = box.querySelector(".content")
    if (trial === null) {
      if (known === "") content.replaceChildren(make("p", {class: "bad", text: said}))
      return
    }
    // As long as nothing else is known of it, it stays as it is: where the reader is stays, too.
    if (JSON.stringify(trial) !== known) fill(content, trial)
    known = JSON.stringify(trial)
    box.querySelector(".mark").setAttribute("aria-pressed", String(daskflow.marks.has(id)))
    const cancel = box.querySelector(".cancel")
    const isDone = trial.state === "failed" || trial.state === "cancelled"
    const isWhole = trial.state === "scored" && isNumber(trial.most) && trial.resource >= trial.most
    const why = daskflow.head.reason() || (isDone ? "This trial has already been given up."
      : isWhole ? "This trial is finished: there is nothing left of it to cancel." : "")
    cancel.disabled = why !== ""
    cancel.title = why
  }

  // While the run goes on, more becomes known of a trial that is looked at.
  const refresh = () => {
    if (document.getElementById("trial").open && performance.now() - looked > FRESH) load()
  }

  const start = () => {
    const box = document.getElementById("trial")
    box.addEventListener("close", () => {
      shown = ""
      if (wanted() !== "") history.replaceState(null, "", location.pathname + location.search)
    })
    box.addEventListener("click", (event) => {
      if (event.target === box) box.close()
    })
    box.querySelector(".close").addEventListener("click", () => box.close())
    box.querySelector(".mark").addEventListener("click", (event) => {
      daskflow.marks.toggle(shown)
      event.currentTarget.setAttribute("aria-pressed", String(daskflow.marks.has(shown)))
    })
    box.querySelector(".cancel").addEventListener("click", async () => {
      const trial = shown
      const text = "Its fits are given up and count as failed; no more of it is tried. The search goes on with the others. This cannot be undone."
      if (!(await daskflow.head.confirm(`Cancel trial ${clean(trial)}?`, text, "Cancel this trial"))) return
      const said = await daskflow.head.ask({command: "cancel", trial})
      put(box.querySelector(".told"), said.told)
      load()
    })
    window.addEventListener("hashchange", load)
    load()
  }

  daskflow.trial = {refresh, start}
})()
