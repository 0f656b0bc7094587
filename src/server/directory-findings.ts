import type { FindingFacts, FindingKind } from '../base/findings.ts'

export type DirectoryDamage = 'version-lost' | 'metadata-lost'

/** What keeps a server from starting. Each has its section in `docs/storage.md`. */
export const directoryFindings: Readonly<Record<DirectoryDamage, FindingFacts>> = {
  'version-lost': {
    severity: 'error',
    meaning: 'No server starts on the data directory, since it does not say what it is.',
    advice: 'restore the file "version" from a backup of this data directory',
  },
  'metadata-lost': {
    severity: 'error',
    meaning:
      'No server starts on the data directory: the names of all files, and which commits they are in, cannot be read.',
    advice:
      'restore metadata.db from a backup; packs that were written since stay, and are listed at the next start',
  },
}

export function directoryFinding(name: DirectoryDamage): FindingKind {
  return { name, ...directoryFindings[name] }
}
