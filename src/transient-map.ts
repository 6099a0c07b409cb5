import assert from 'node:assert/strict'

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
    const place = this.#places.get(key)
    if (place === undefined) this.add(key, value)
    else this.#values[place] = value
  }

  /**
   * Adds an entry whose key is known not to be there.
   * @returns its place, by which it is replaced and removed without being looked up again
   */
  add(key: Key, value: Value): number {
    const place = this.#free.pop() ?? this.#values.length
    this.#places.set(key, place)
    this.#values[place] = value
    return place
  }

  /** What lies at a place, if there is anything. */
  at(place: number): Value | undefined {
    return this.#values[place]
  }

  /** @param place of an entry that is there */
  replace(place: number, value: Value): void {
    this.#values[place] = value
  }

  /** @param place that of the key, which is there */
  remove(key: Key, place: number): void {
    assert(this.#places.delete(key), 'an entry is removed once')
    this.#vacate(place)
  }

  /** Returns whether it was there. */
  delete(key: Key): boolean {
    const place = this.#places.get(key)
    if (place === undefined) return false
    this.#places.delete(key)
    this.#vacate(place)
    return true
  }

  #vacate(place: number): void {
    if (this.#places.size === 0) {
      // Of a rush that is over no room is kept.
      this.#values.length = this.#free.length = 0
      return
    }
    this.#values[place] = undefined
    this.#free.push(place)
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
