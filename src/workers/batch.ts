/** Things that go to another thread together: all that this turn adds, in one message. */
export class Batch<Item> {
  readonly #send: (items: readonly Item[]) => void
  #items: Item[] = []

  constructor(send: (items: readonly Item[]) => void) {
    this.#send = send
  }

  add(item: Item): void {
    this.#items.push(item)
    if (this.#items.length === 1) queueMicrotask(() => this.#flush())
  }

  #flush(): void {
    const items = this.#items
    this.#items = []
    this.#send(items)
  }
}
