import type { CheckRun } from '../../base/check-run.ts'
import type { Database } from '../../database/database.ts'

export interface PipelinesCheckPorts {
  readonly database: Database
  readonly run: CheckRun
}
