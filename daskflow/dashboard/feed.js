// The feed: asks the server again and again for what changed, waits while nobody looks, and survives a server that
// goes away and comes back, also as another process.
;(() => {
  "use strict"
  const SECONDS = 1000
  const PATIENCE = 25 * SECONDS
  const PAUSES = [1, 2, 4, 8, 15, 30].map((seconds) => seconds * SECONDS)
  const LEAST = 0.4 * SECONDS
  const CONTINUED = 15 * SECONDS

  const sleep = (time) => new Promise((resolve) => setTimeout(resolve, time))
  const seen = () => (document.hidden
    ? new Promise((resolve) => document.addEventListener("visibilitychange", resolve, {once: true})).then(seen)
    : Promise.resolve())

  class Refused extends Error {}

  // What this page has of the run: epochs and lengths of columns, versions of the rest.
  const nothing = () => ({columns: {}, values: {}, looks: {}})

  const start = ({page, run, take, header, told}) => {
    let have = nothing()
    let boot = ""
    let failures = 0
    let rest = 0
    let lost = 0
    let wake = () => {}

    const ask = async (wait) => {
      const query = new URLSearchParams({page, boot, have: JSON.stringify(have)})
      if (run() !== "") query.set("run", run())
      if (wait) query.set("wait", "1")
      const answer = await fetch(`daskflow-feed?${query}`, {signal: AbortSignal.timeout(PATIENCE), cache: "no-store"})
      if (answer.status === 403) throw new Refused("This link lets nobody in any more: open the address that the run printed.")
      if (answer.status === 404) throw new Refused("The server does not know this run any more.")
      if (!answer.ok) throw new Error(`The server answered ${answer.status}.`)
      return answer.json()
    }

    const apply = (news) => {
      if (news.boot !== boot) {
        boot = news.boot
        have = nothing()
      }
      header(news.header)
      for (const [name, {epoch, from, data}] of Object.entries(news.columns ?? {})) {
        const rows = Object.values(data)[0]?.length ?? 0
        have.columns[name] = [epoch, from + rows]
      }
      for (const part of ["values", "looks"]) {
        for (const [name, {v}] of Object.entries(news[part] ?? {})) have[part][name] = v
      }
      rest = restOf(news.header)
      take(news)
    }

    // How long to wait before the next question. A run that is done tells nothing more, unless its model answers a stream;
    // one that failed or was interrupted may be continued.
    const restOf = ({over, status, replay}) => {
      if (!over || replay !== null || status === "waiting" || page === "stream") return 0
      return status === "done" ? Infinity : CONTINUED
    }

    const pause = (time) => Promise.race([sleep(time), new Promise((resolve) => { wake = resolve })])

    const loop = async () => {
      for (;;) {
        await seen()
        const begun = performance.now()
        try {
          const first = boot === "" || failures > 0
          apply(await ask(!first))
          failures = 0
          told("")
        } catch (error) {
          const pauseFor = PAUSES[Math.min(failures, PAUSES.length - 1)]
          if (failures === 0) lost = Date.now() / SECONDS
          failures += 1
          // A single answer that is late is nothing to speak of.
          if (error instanceof Refused) told(error.message)
          else if (failures > 3) told(`No contact since ${daskflow.clock(lost)}: what is shown here is of that time. A run that is ` +
            "started again may be at another address, which `daskflow watch RUN` prints.")
          else if (failures > 1 || error.name !== "TimeoutError") told("Connection lost, trying again.")
          await pause(pauseFor)
          continue
        }
        // When the reader comes back to the page, it is asked once again in any case.
        if (rest === Infinity) await new Promise((resolve) => { wake = resolve })
        else if (rest > 0) await pause(rest)
        await sleep(Math.max(0, LEAST - (performance.now() - begun)))
      }
    }
    document.addEventListener("visibilitychange", () => {
      if (!document.hidden) wake()
    })
    window.addEventListener("online", () => wake())
    loop()
    return {forget: (name) => delete have.columns[name], wake: () => wake()}
  }

  // Ask for something to be done; a sentence comes back, whatever happens.
  const post = async (address, body) => {
    try {
      const answer = await fetch(address, {
        method: "POST", headers: {"Content-Type": "application/json", "X-Daskflow": "1"}, body: JSON.stringify(body),
        signal: AbortSignal.timeout(PATIENCE),
      })
      const said = await answer.json().catch(() => ({}))
      return answer.ok ? {told: said.told ?? "It was asked for.", ok: true}
        : {told: said.error ?? `It was refused (${answer.status}).`, ok: false}
    } catch {
      return {told: "The server could not be reached: nothing was changed.", ok: false}
    }
  }

  daskflow.feed = {post, start}
})()
