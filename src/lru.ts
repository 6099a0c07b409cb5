/** An entry, between the one that was used next after it and the one that was used last before it. */
interface Entry<Value> {
  readonly key: string
  value: Value
  newer: Entry<Value> | null
  older: Entry<Value> | null
}

/**
 * A map that forgets what was used longest ago. The order of use is a list beside the Map: a Map whose entries are taken out
 * and put in again for it has to be made anew all the time.
 */
export class LruMap<Value> {
  readonly #capacity: number
  readonly #entries = new Map<string, Entry<Value>>()
  #newest: Entry<Value> | null = null
  #oldest: Entry<Value> | null = null

  /** @param capacity values kept, 1 or more */
  constructor(capacity: number) {
    this.#capacity = capacity
  }

  get size(): number {
    return this.#entries.size
  }

  get(key: string): Value | undefined {
    const entry = this.#entries.get(key)
    if (entry === undefined) return undefined
    if (entry !== this.#newest) {
      this.#unlink(entry)
      this.#link(entry)
    }
    return entry.value
  }

  set(key: string, value: Value): void {
    this.delete(key)
    if (this.#entries.size === this.#capacity) this.delete(this.#oldest!.key)
    const entry = { key, value, newer: null, older: null }
    this.#entries.set(key, entry)
    this.#link(entry)
  }

  delete(key: string): void {
    const entry = this.#entries.get(key)
    if (entry === undefined) return
    this.#entries.delete(key)
    this.#unlink(entry)
  }

  clear(): void {
    this.#entries.clear()
    this.#newest = this.#oldest = null
  }

  #link(entry: Entry<Value>): void {
    entry.newer = null
    entry.older = this.#newest
    if (this.#newest === null) this.#oldest = entry
    else this.#newest.newer = entry
    this.#newest = entry
  }

  #unlink({ newer, older }: Entry<Value>): void {
    if (newer === null) this.#newest = older
    else newer.older = older
    if (older === null) this.#oldest = newer
    else older.newer = newer
  }
}
