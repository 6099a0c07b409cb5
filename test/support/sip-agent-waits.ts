interface Waiter<Item> {
  readonly what: string
  readonly isWanted: (item: Item) => boolean
  readonly resolve: (item: Item) => void
  readonly reject: (error: Error) => void
  readonly timer: NodeJS.Timeout
}

/** Things that arrive and are awaited, in either order. What nobody has awaited yet is kept. */
export class Mailbox<Item> {
  readonly #explain: () => string
  readonly #unclaimed: Item[] = []
  readonly #waiters: Waiter<Item>[] = []
  #over: string | null = null

  /** @param explain what is said of a wait in vain: the trace */
  constructor(explain: () => string) {
    this.#explain = explain
  }

  /** What has arrived and was not awaited. */
  get unclaimed(): readonly Item[] {
    return this.#unclaimed
  }

  put(item: Item): void {
    const index = this.#waiters.findIndex(({ isWanted }) => isWanted(item))
    const [waiter] = index < 0 ? [] : this.#waiters.splice(index, 1)
    if (waiter === undefined) {
      this.#unclaimed.push(item)
      return
    }
    clearTimeout(waiter.timer)
    waiter.resolve(item)
  }

  /** Nothing will arrive any more: every wait fails, also those to come, with this reason. */
  fail(why: string): void {
    this.#over ??= why
    for (const waiter of this.#waiters.splice(0)) this.#giveUp(waiter, this.#over)
  }

  /** The first such thing that was not yet awaited, or the next to come. */
  take(what: string, isWanted: (item: Item) => boolean, timeoutMs: number): Promise<Item> {
    const index = this.#unclaimed.findIndex(isWanted)
    const [already] = index < 0 ? [] : this.#unclaimed.splice(index, 1)
    if (already !== undefined) return Promise.resolve(already)
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => {
        this.#waiters.splice(this.#waiters.indexOf(waiter), 1)
        this.#giveUp(waiter, `not within ${timeoutMs} ms`)
      }, timeoutMs)
      const waiter: Waiter<Item> = { what, isWanted, resolve, reject, timer }
      if (this.#over === null) this.#waiters.push(waiter)
      else this.#giveUp(waiter, this.#over)
    })
  }

  #giveUp({ what, reject, timer }: Waiter<Item>, why: string): void {
    clearTimeout(timer)
    reject(new Error(`waited for ${what}: ${why}\n${this.#explain()}`))
  }
}
