import type { FindingFacts, FindingKind } from '../base/findings.ts'

export type DatabaseDamage =
  | 'metadata-damaged'
  | 'table-damaged'
  | 'index-missing'
  | 'check-stopped'
  | 'log-damaged'
  | 'event-log-gap'

/** What can be wrong with the database itself. Each has its section in `docs/storage.md`. */
export const databaseFindings: Readonly<Record<DatabaseDamage, FindingFacts>> = {
  'metadata-damaged': {
    severity: 'error',
    meaning: 'Pages of metadata.db are not what was written, and rows may be missing or wrong.',
    advice:
      'stop the server, keep a copy of the data directory, and restore the newest backup; if only an index is concerned, "sqlite3 metadata.db REINDEX" makes it again while no server runs',
  },
  'table-damaged': {
    severity: 'error',
    meaning: 'A table of metadata.db is lost or another one, and with it all that was in it.',
    advice: 'stop the server, keep a copy of the data directory, and restore the newest backup',
  },
  'index-missing': {
    severity: 'error',
    meaning: 'Rows are searched for one by one, so that much takes long; none is lost.',
    advice: 'run fsck with --fix, if the table of the index is there: it is made again',
  },
  'check-stopped': {
    severity: 'error',
    meaning:
      'A part of the check met something that it could not make sense of; the other parts went on.',
    advice:
      'put right what the other findings tell, then run fsck again; if there are none, please report it as a bug',
  },
  'log-damaged': {
    severity: 'warning',
    meaning:
      'Part of what a server had written last could not be read: after a loss of power nobody had been told of it yet; else the last commits may be missing.',
    advice:
      'look whether the last commits are there: if so, delete the copy; else restore the newest backup',
  },
  'event-log-gap': {
    severity: 'warning',
    meaning:
      'Whoever followed changes while it happened may have missed some; nothing else needs them.',
    advice:
      'nothing needs to be done; where rows are lost, others may be: look at the other findings',
  },
}

export function databaseFinding(name: DatabaseDamage): FindingKind {
  return { name, ...databaseFindings[name] }
}
