import { type ChosenSnapshot, factsOf, type SnapshotFacts } from '../../backups/snapshot-choice.ts'
import type { BackupSnapshot, SnapshotChoice } from '../../gen/pachyderm_pb.ts'

/** Of a snapshot that a server has read. */
export function messageFacts({ name, store, counts }: BackupSnapshot): SnapshotFacts {
  if (counts === undefined) return { name, store }
  return { name, store, counts: { repos: Number(counts.repos), commits: Number(counts.commits) } }
}

/** What a server has chosen; nothing of one that does not say it. */
export function messageChoice(choice: SnapshotChoice | undefined): FactsOfChoice | undefined {
  if (choice?.taken === undefined) return undefined
  return { taken: messageFacts(choice.taken), others: choice.others.map(messageFacts) }
}

export interface FactsOfChoice {
  readonly taken: SnapshotFacts
  readonly others: readonly SnapshotFacts[]
}

export function factsOfChoice(chosen: ChosenSnapshot): FactsOfChoice {
  return { taken: factsOf(chosen), others: chosen.others.map(factsOf) }
}
