/** So many are looked through; with more there is a table, or a header of nothing but parameters would take its square. */
const walkMax = 16

/** Parameters of a URI or of a header's value: names in lower case, values or null. Of a repeated one the first counts. */
export interface Params extends Iterable<readonly [name: string, value: string | null]> {
  readonly size: number
  get(name: string): string | null | undefined
  has(name: string): boolean
}

/** Most have none or two: looking through those is less work than a Map is to fill, which hashes every name. */
export class ParamList implements Params {
  readonly #names: string[] = []
  readonly #values: (string | null)[] = []
  #table: Map<string, number> | null = null

  get size(): number {
    return this.#names.length
  }

  get(name: string): string | null | undefined {
    const at = this.#placeOf(name)
    return at < 0 ? undefined : this.#values[at]
  }

  has(name: string): boolean {
    return this.#placeOf(name) >= 0
  }

  /** Adds a parameter, unless there is one by that name. */
  add(name: string, value: string | null): void {
    if (this.has(name)) return
    this.#names.push(name)
    this.#values.push(value)
    if (this.#table !== null) this.#table.set(name, this.#names.length - 1)
    else if (this.#names.length > walkMax) this.#table = new Map(this.#names.map((known, i) => [known, i]))
  }

  *[Symbol.iterator](): Generator<readonly [name: string, value: string | null]> {
    for (let i = 0; i < this.#names.length; i++) yield [this.#names[i]!, this.#values[i]!]
  }

  #placeOf(name: string): number {
    return this.#table === null ? this.#names.indexOf(name) : (this.#table.get(name) ?? -1)
  }
}

export const noParams: Params = new ParamList()
