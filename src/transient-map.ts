/**
 * A Map for entries that come and go at a high rate, as those of transactions do.
 *
 * V8 makes a Map a new table every so often, also where its size does not change, and the table before it goes on pointing
 * at all that was in it then. Once one of them has lived long enough to be in the old generation, it keeps what it points
 * at from being collected while it is young, the next table among that: so nearly all that ever was in a Map reaches the
 * old generation. Here the Map knows only numbers; values lie in an array, where nothing points at them once they are
 * deleted. Keys are kept as in a Map: they should be strings, numbers, or objects that live long anyway.
 */
export class TransientMap<Key, Value> {
  readonly #places = new Map<Key, number>()
  readonly #values: (Value | undefined)[] = []
  readonly #free: number[] = []

  get size(): number {
    return this.#places.size
  }

  get(key: Key): Value | undefined {
    const place = this.#places.get(key)
    return place === undefined ? undefined : this.#values[place]
  }

  has(key: Key): boolean {
    return this.#places.has(key)
  }

  set(key: Key, value: Value): void {
    let place = this.#places.get(key)
    if (place === undefined) {
      place = this.#free.pop() ?? this.#values.length
      this.#places.set(key, place)
    }
    this.#values[place] = value
  }

  /** Returns whether it was there. */
  delete(key: Key): boolean {
    const place = this.#places.get(key)
    if (place === undefined) return false
    this.#places.delete(key)
    if (this.#places.size === 0) {
      // Of a rush that is over no room is kept.
      this.#values.length = this.#free.length = 0
      return true
    }
    this.#values[place] = undefined
    this.#free.push(place)
    return true
  }

  clear(): void {
    this.#places.clear()
    this.#values.length = this.#free.length = 0
  }

  /** All values now, in the order of their keys' coming. */
  values(): Value[] {
    return Array.from(this.#places.values(), (place) => this.#values[place]!)
  }
}
