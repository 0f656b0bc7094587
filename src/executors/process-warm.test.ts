import { isolationsHere, processExecutorWith } from '../testing/executors-under-test.ts'
import { describeWarmCode } from '../testing/warm-code-conformance.ts'

for (const isolation of isolationsHere) {
  describeWarmCode(
    `the process executor with isolation "${isolation}"`,
    processExecutorWith(isolation),
  )
}
