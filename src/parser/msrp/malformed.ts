import {
  KIND_REPORT,
  KIND_RESPONSE,
  KIND_SEND,
  R_ERROR,
  R_FAILURE_REPORT,
  R_FROM_COUNT,
  R_KIND,
  REPORT_NO,
} from '../kernel/record.ts'
import { type ParseErrorClass, parseErrorClasses } from './error-class.ts'

/** Class of what is wrong with the frame of the record; null when it is well formed. */
export function errorClass(record: Int32Array): ParseErrorClass | null {
  return parseErrorClasses[record[R_ERROR]! - 1] ?? null
}

/** Whether a 400 may be sent for the frame of the record (M-51, M-52, M-61). */
export function mayAnswerMalformed(record: Int32Array): boolean {
  const kind = record[R_KIND]
  if (kind === KIND_RESPONSE || kind === KIND_REPORT || record[R_FROM_COUNT] === 0) return false
  return kind !== KIND_SEND || record[R_FAILURE_REPORT] !== REPORT_NO
}
