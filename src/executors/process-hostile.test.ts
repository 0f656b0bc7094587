import { isolationsHere, processExecutorWith } from '../testing/executors-under-test.ts'
import { describeHostileCode } from '../testing/hostile-code-conformance.ts'

for (const isolation of isolationsHere) {
  describeHostileCode(
    `the process executor with isolation "${isolation}"`,
    processExecutorWith(isolation),
  )
}
