import { createReferenceReader } from '../support/reference-reader.ts'
import { describeConformance, describeVectorCounts } from './conformance.ts'

describeVectorCounts()
describeConformance('reference reader', createReferenceReader)
