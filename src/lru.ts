/** A map that forgets what was used longest ago. */
export class LruMap<Value> {
  readonly #capacity: number
  /** In the order of last use: a Map hands out its keys in the order they were set. */
  readonly #values = new Map<string, Value>()

  /** @param capacity values kept, 1 or more */
  constructor(capacity: number) {
    this.#capacity = capacity
  }

  get size(): number {
    return this.#values.size
  }

  get(key: string): Value | undefined {
    const value = this.#values.get(key)
    if (value === undefined) return undefined
    this.#values.delete(key)
    this.#values.set(key, value)
    return value
  }

  set(key: string, value: Value): void {
    this.#values.delete(key)
    if (this.#values.size === this.#capacity) this.#values.delete(this.#values.keys().next().value!)
    this.#values.set(key, value)
  }

  delete(key: string): void {
    this.#values.delete(key)
  }

  clear(): void {
    this.#values.clear()
  }
}
