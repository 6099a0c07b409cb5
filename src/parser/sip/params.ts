/** So many are looked through; with more there is a table, or a header of nothing but parameters would take its square. */
const walkMax = 16

/** Parameters of a URI or of a header's value: names in lower case, values or null. Of a repeated one the first counts. */
export interface Params extends Iterable<readonly [name: string, value: string | null]> {
  readonly size: number
  get(name: string): string | null | undefined
  has(name: string): boolean
}

interface Param {
  readonly name: string
  readonly value: string | null
  next: Param | null
}

/**
 * In the order that they were added. Most lists have none or two: looking through those is less work than a Map is to fill,
 * which hashes every name, and links are less to allocate than arrays.
 */
export class ParamList implements Params {
  size = 0
  #first: Param | null = null
  #last: Param | null = null
  #table: Map<string, Param> | null = null

  get(name: string): string | null | undefined {
    return this.#find(name)?.value
  }

  has(name: string): boolean {
    return this.#find(name) !== null
  }

  /** Adds a parameter, unless there is one by that name. */
  add(name: string, value: string | null): void {
    if (this.has(name)) return
    const param: Param = { name, value, next: null }
    if (this.#last === null) this.#first = param
    else this.#last.next = param
    this.#last = param
    this.size++
    if (this.#table !== null) this.#table.set(name, param)
    else if (this.size > walkMax) this.#tabulate()
  }

  *[Symbol.iterator](): Generator<readonly [name: string, value: string | null]> {
    for (let param = this.#first; param !== null; param = param.next) yield [param.name, param.value]
  }

  #find(name: string): Param | null {
    if (this.#table !== null) return this.#table.get(name) ?? null
    let param = this.#first
    while (param !== null && param.name !== name) param = param.next
    return param
  }

  #tabulate(): void {
    this.#table = new Map()
    for (let param = this.#first; param !== null; param = param.next) this.#table.set(param.name, param)
  }
}

export const noParams: Params = new ParamList()
