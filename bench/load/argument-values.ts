import { SilopathError } from '../../src/errors.ts'

/** What the benchmarks read their options with. */
export interface ArgumentValues {
  /** @throws SilopathError CONFIG_INVALID, with the usage */
  refuse(what: string): never
  numberIn(name: string, text: string, min: number, max: number, isInteger?: boolean): number
}

/** Values of one command's options; what is wrong with one is told with the command's usage. */
export const argumentValues = (usage: string): ArgumentValues => {
  const refuse = (what: string): never => {
    throw new SilopathError('CONFIG_INVALID', `${what}\n\n${usage}`)
  }
  const numberIn = (name: string, text: string, min: number, max: number, isInteger = true): number => {
    const value = text.trim() === '' ? Number.NaN : Number(text)
    if (value >= min && value <= max && (!isInteger || Number.isInteger(value))) return value
    return refuse(`--${name} ${text}: expected ${isInteger ? 'an integer' : 'a number'} from ${min} to ${max}`)
  }
  return { refuse, numberIn }
}
