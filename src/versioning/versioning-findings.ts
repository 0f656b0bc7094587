import type { FindingFacts, FindingKind } from '../base/findings.ts'

export type VersioningDamage =
  | 'repo-missing'
  | 'repo-provenance-wrong'
  | 'repo-size-wrong'
  | 'branch-head-missing'
  | 'commit-parent-missing'
  | 'commit-state-wrong'
  | 'commit-sums-wrong'
  | 'commit-provenance-wrong'
  | 'provenance-unexplained'
  | 'provenance-left-over'
  | 'merge-parent-missing'
  | 'merge-parents-left-over'
  | 'commit-tag-wrong'
  | 'write-sequence-behind'
  | 'staged-write-lost'
  | 'staged-write-damaged'
  | 'staged-writes-left-over'
  | 'tag-without-object'
  | 'object-damaged'
  | 'commit-order-wrong'
  | 'commit-growth-missing'
  | 'commit-message-wrong'
  | 'name-invalid'
  | 'transaction-damaged'
  | 'transaction-rows-left-over'

const restoreMetadata: string =
  'rows have been lost or changed: restore the newest backup of the data directory, or of metadata.db with its packs'
const fixIt: string = 'run fsck with --fix: it is worked out again'

/** What can be wrong with the rows of versioning. Each has its section in `docs/storage.md`. */
export const versioningFindings: Readonly<Record<VersioningDamage, FindingFacts>> = {
  'repo-missing': {
    severity: 'error',
    meaning:
      'Commits or branches are there, and the repo that holds them is not, so they cannot be read.',
    advice: restoreMetadata,
  },
  'repo-provenance-wrong': {
    severity: 'error',
    meaning: 'What the repo is made from is not shown in full, and flush may not wait for it.',
    advice: fixIt,
  },
  'repo-size-wrong': {
    severity: 'error',
    meaning: 'The size that list-repo shows is wrong; no file is concerned.',
    advice: fixIt,
  },
  'branch-head-missing': {
    severity: 'error',
    meaning:
      'The branch names a commit that is not there, so nothing can be read or written by its name.',
    advice:
      'see list-commit for what the repo holds, and set the branch to the commit that should be its head: pachctl set-branch REPO COMMIT BRANCH',
  },
  'commit-parent-missing': {
    severity: 'error',
    meaning:
      'The history of the repo breaks off before this commit; the commit itself can be read.',
    advice: restoreMetadata,
  },
  'commit-state-wrong': {
    severity: 'error',
    meaning: 'The commit is neither open nor finished, and reading it fails.',
    advice: restoreMetadata,
  },
  'commit-sums-wrong': {
    severity: 'error',
    meaning:
      'The size or the count of files that is shown for the commit is wrong; its files are not.',
    advice: fixIt,
  },
  'commit-provenance-wrong': {
    severity: 'error',
    meaning: 'What the commit is made from is not shown in full, and flush may not find it.',
    advice: fixIt,
  },
  'provenance-unexplained': {
    severity: 'error',
    meaning:
      'More is said of what it is made from than follows from its direct provenance: a row is there too many, or one is lost.',
    advice: restoreMetadata,
  },
  'provenance-left-over': {
    severity: 'warning',
    meaning: 'Rows say what something that does not exist is made from; they do no harm.',
    advice: 'run fsck with --fix: they are deleted',
  },
  'merge-parent-missing': {
    severity: 'error',
    meaning:
      'What the commit merged is not there, so a later merge may bring the same changes in again; the commit itself can be read.',
    advice: restoreMetadata,
  },
  'merge-parents-left-over': {
    severity: 'warning',
    meaning: 'Rows say what a commit that does not exist merged; they do no harm.',
    advice: 'run fsck with --fix: they are deleted',
  },
  'commit-tag-wrong': {
    severity: 'error',
    meaning: 'The tag names a commit that its repo does not have, so nothing can be read by it.',
    advice:
      'delete the tag (pachctl delete-commit-tag), and set it to the commit that it should name (pachctl tag-commit)',
  },
  'write-sequence-behind': {
    severity: 'error',
    meaning: 'New repos and commits are listed as if they were older than some that are there.',
    advice: fixIt,
  },
  'staged-write-lost': {
    severity: 'error',
    meaning: 'A write to an open commit that was acknowledged is gone.',
    advice:
      'put the files again, or delete the commit and start over; where rows are lost, others may be: restore the newest backup if that is too little',
  },
  'staged-write-damaged': {
    severity: 'error',
    meaning:
      'A write to an open commit cannot be read, so the commit can be neither read nor finished.',
    advice: 'delete the commit (pachctl delete-commit) and put its files again',
  },
  'staged-writes-left-over': {
    severity: 'warning',
    meaning: 'Writes of a commit that is no longer open take up room; they are never read.',
    advice: 'run fsck with --fix, or restart the server: they are deleted',
  },
  'tag-without-object': {
    severity: 'error',
    meaning: 'The tag names an object that is not there.',
    advice: 'put the object again with this tag, or delete the tag',
  },
  'commit-order-wrong': {
    severity: 'error',
    meaning:
      'The history of the repo goes in a circle, or commits are listed in a wrong order; the files of the commit can be read.',
    advice: restoreMetadata,
  },
  'commit-growth-missing': {
    severity: 'warning',
    meaning:
      'What the commit added to the size of its repo is not known, so that size cannot be checked, and will not shrink when the commit is deleted.',
    advice: 'nothing needs to be done; where rows have changed, others may have: restore a backup',
  },
  'commit-message-wrong': {
    severity: 'warning',
    meaning: 'The message of the commit is none that could have been given; its files are whole.',
    advice: 'nothing needs to be done; where rows have changed, others may have: restore a backup',
  },
  'name-invalid': {
    severity: 'error',
    meaning: 'Something has a name that nobody can type, so it may not be found by it.',
    advice: restoreMetadata,
  },
  'transaction-damaged': {
    severity: 'error',
    meaning: 'An open transaction cannot be finished as it was begun, or a finished one be shown.',
    advice:
      'delete the transaction (pachctl delete-transaction), and begin it again if it was open; what has been finished is not concerned',
  },
  'transaction-rows-left-over': {
    severity: 'warning',
    meaning: 'Rows are operations of a transaction that does not exist; they do no harm.',
    advice: 'run fsck with --fix: they are deleted',
  },
  'object-damaged': {
    severity: 'error',
    meaning:
      'The object cannot be found by its name, or what it says of its content makes no sense.',
    advice: 'put the object again',
  },
}

export function versioningFinding(name: VersioningDamage): FindingKind {
  return { name, ...versioningFindings[name] }
}
