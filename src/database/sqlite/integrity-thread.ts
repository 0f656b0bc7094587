import { DatabaseSync } from 'node:sqlite'
import { parentPort, workerData } from 'node:worker_threads'
import type { IntegrityReply, IntegrityRequest } from './integrity.ts'

// A thread of its own, since SQLite reads the whole file in one call.

const problemsMax = 100
/** SQLITE_CORRUPT and SQLITE_NOTADB, https://sqlite.org/rescode.html. */
const damageCodes: readonly number[] = [11, 26]
const { path, full } = workerData as IntegrityRequest

function reply(): IntegrityReply {
  try {
    const database = new DatabaseSync(path, { readOnly: true })
    try {
      const pragma = full ? 'integrity_check' : 'quick_check'
      const rows = database.prepare(`PRAGMA ${pragma}(${problemsMax})`).all()
      const problems = rows.map((row) => String(Object.values(row)[0]))
      return { kind: 'problems', problems: problems.filter((problem) => problem !== 'ok') }
    } finally {
      database.close()
    }
  } catch (error) {
    const code = error instanceof Error && 'errcode' in error ? Number(error.errcode) & 0xff : 0
    if (!damageCodes.includes(code) || !(error instanceof Error)) return { kind: 'failed', error }
    return { kind: 'problems', problems: [error.message] }
  }
}

// A thread, which has no origin as a window has.
// oxlint-disable-next-line unicorn/require-post-message-target-origin
parentPort?.postMessage(reply())
