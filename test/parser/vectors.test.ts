import { createKernelReader } from '../support/kernel-reader.ts'
import { describeConformance, describeVectorCounts } from './conformance.ts'

describeVectorCounts()
describeConformance('kernel', createKernelReader)
