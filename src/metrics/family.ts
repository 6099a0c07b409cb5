export type Labels = Readonly<Record<string, string>>

/** One metric as Prometheus sees it, and the cells of a row that feed it. */
export interface CounterFamily {
  /** Ends in its unit: `_total`, `_seconds`, `_octets`, … No label ever holds a user, a session or a call. */
  readonly name: string
  readonly kind: 'counter' | 'gauge' | 'histogram'
  /** `sum`: one series, added up over all rows. `lane`: one series a lane, with the label `lane`. */
  readonly series: 'sum' | 'lane'
  readonly help: string
  /** Key of each cell, and the labels of what it counts. In a histogram, `le` marks the buckets; the other is the sum. */
  readonly cells: Readonly<Record<string, Labels>>
}
/** Cells `<prefix>:<value>` for every value of one label, in order. */
export function cellsOf<const Prefix extends string, const Label extends string, Value extends string | number>(
  prefix: Prefix,
  label: Label,
  values: readonly Value[],
): Readonly<Record<`${Prefix}:${Value}`, Labels>> {
  const entries = values.map((value) => [`${prefix}:${value}`, { [label]: String(value) }])
  return Object.fromEntries(entries) as Readonly<Record<`${Prefix}:${Value}`, Labels>>
}

/** Cells `<prefix>:<value>:<value>…` for every combination of the values of several labels. */
export function product<const Prefix extends string>(
  prefix: Prefix,
  labels: Readonly<Record<string, readonly string[]>>,
): Readonly<Record<`${Prefix}:${string}`, Labels>> {
  let cells: (readonly [string, Labels])[] = [[prefix, {}]]
  for (const [label, values] of Object.entries(labels)) {
    cells = cells.flatMap(([key, rest]) =>
      values.map((value) => [`${key}:${value}`, { ...rest, [label]: value }] as const),
    )
  }
  return Object.fromEntries(cells) as Readonly<Record<`${Prefix}:${string}`, Labels>>
}
