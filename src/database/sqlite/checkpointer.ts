// Runs in a worker thread: moves the write-ahead log into the database file, so that the event loop
// never waits for these writes and syncs. Imports nothing of ours: a worker starts faster so.
import { DatabaseSync } from 'node:sqlite'
import { parentPort, workerData } from 'node:worker_threads'

/** How long a restart waits for a reader that still needs the log. */
const readerWaitMs = 2000

type CheckpointMode = 'PASSIVE' | 'RESTART'
export type CheckpointRequest = CheckpointMode | 'CLOSE'
/** `logPages` are in the log in all, `movedPages` of them are in the database file too. */
export type CheckpointReply =
  | { readonly kind: 'done'; readonly logPages: number; readonly movedPages: number }
  | { readonly kind: 'failed'; readonly error: unknown }

const port = parentPort
if (port !== null && typeof workerData === 'string') serve(new DatabaseSync(workerData))

function serve(database: DatabaseSync): void {
  // FULL, the default: the log is synced before its pages move, the file before the log starts anew.
  database.exec(`PRAGMA busy_timeout = ${readerWaitMs}; PRAGMA cache_size = -1024`)
  port?.on('message', (request: CheckpointRequest) => {
    port.postMessage(answer(database, request))
    if (request === 'CLOSE') port.close()
  })
}

function answer(database: DatabaseSync, request: CheckpointRequest): CheckpointReply {
  try {
    if (request === 'CLOSE') {
      // The last connection to close moves all of the log and removes it.
      database.close()
      return { kind: 'done', logPages: 0, movedPages: 0 }
    }
    const row = database.prepare(`PRAGMA wal_checkpoint(${request})`).get()
    return {
      kind: 'done',
      logPages: Number(row?.['log'] ?? 0),
      movedPages: Number(row?.['checkpointed'] ?? 0),
    }
  } catch (error) {
    return { kind: 'failed', error }
  }
}
