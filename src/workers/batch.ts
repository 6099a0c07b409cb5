import type { Numbered } from './lane-port.ts'

/** So many go at once: who works long on a turn would leave the other thread without work to its end. */
const batchMax = 32

/** Things that go to another thread together: what this turn adds, in messages of up to `batchMax`. */
export class Batch<Item> {
  readonly #send: (items: readonly Item[]) => void
  #items: Item[] = []

  constructor(send: (items: readonly Item[]) => void) {
    this.#send = send
  }

  add(item: Item): void {
    this.#items.push(item)
    if (this.#items.length === 1) queueMicrotask(() => this.#flush())
    if (this.#items.length === batchMax) this.#flush()
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

  constructor(send: (values: Numbered<Value>) => void) {
    this.#values = new Batch((values) => send({ numbers: this.#numbers.splice(0), values }))
  }

  add(number: number, value: Value): void {
    this.#numbers.push(number)
    this.#values.add(value)
  }
}
