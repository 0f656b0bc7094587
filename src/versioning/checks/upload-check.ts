import type { CheckRun } from '../../base/check-run.ts'
import { DataLossError } from '../../base/errors.ts'
import type { Database } from '../../database/database.ts'
import { uploadPartPages } from '../records/upload-rows.ts'
import { decodeContent } from '../staging/staged-bytes.ts'
import { versioningFinding } from '../versioning-findings.ts'

/** Parts of uploads make sense. */
export async function checkUploads({
  database,
  run,
}: {
  readonly database: Database
  readonly run: CheckRun
}): Promise<void> {
  run.stage = 'uploads'
  for await (const page of uploadPartPages(database)) {
    run.throwIfCancelled()
    run.counts.rows += page.length
    for (const { upload, number, content } of page) {
      if (isContent(content)) continue
      await run.report({
        kind: versioningFinding('upload-damaged'),
        subject: {},
        what: `part ${number} of upload ${upload} has a row that names no content`,
      })
    }
  }
}

function isContent(column: Uint8Array): boolean {
  try {
    decodeContent(column)
    return true
  } catch (error) {
    if (error instanceof DataLossError) return false
    throw error
  }
}
