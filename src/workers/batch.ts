import type { Numbered } from './lane-port.ts'

/** Things that go to another thread together: what this turn adds, in one message, or in messages of up to `max`. */
export class Batch<Item> {
  readonly #send: (items: readonly Item[]) => void
  readonly #max: number
  #items: Item[] = []

  constructor(send: (items: readonly Item[]) => void, max = Number.POSITIVE_INFINITY) {
    this.#send = send
    this.#max = max
  }

  add(item: Item): void {
    this.#items.push(item)
    if (this.#items.length === 1) queueMicrotask(() => this.#flush())
    if (this.#items.length >= this.#max) this.#flush()
  }

  #flush(): void {
    const items = this.#items
    if (items.length === 0) return
    this.#items = []
    this.#send(items)
  }
}

/** The same of things that have a number. */
export class NumberedBatch<Value> {
  readonly #numbers: number[] = []
  readonly #values: Batch<Value>

  constructor(send: (values: Numbered<Value>) => void, max?: number) {
    this.#values = new Batch((values) => send({ numbers: this.#numbers.splice(0), values }), max)
  }

  add(number: number, value: Value): void {
    this.#numbers.push(number)
    this.#values.add(value)
  }
}
