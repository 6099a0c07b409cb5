/** Time as a dependency, so that timers can be tested without waiting. */
export interface Clock {
  /** Milliseconds since the Unix epoch. */
  now(): number
}

/** A clock that also calls back. */
export interface Ticker extends Clock {
  /** Calls `tick` about every `milliseconds`, until the returned function is called. Keeps no process alive. */
  every(milliseconds: number, tick: () => void): () => void
}

export const systemClock: Ticker = {
  now: () => Date.now(),
  every(milliseconds, tick) {
    const timer = setInterval(tick, milliseconds)
    timer.unref()
    return () => clearInterval(timer)
  },
}
