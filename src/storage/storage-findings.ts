import type { FindingFacts, FindingKind } from '../base/findings.ts'

export type StorageDamage =
  | 'pack-missing'
  | 'pack-size-wrong'
  | 'pack-index-damaged'
  | 'pack-exchanged'
  | 'pack-row-wrong'
  | 'pack-unlisted'
  | 'pack-retired'
  | 'pack-foreign'
  | 'pack-frame-damaged'
  | 'chunk-damaged'
  | 'chunk-copy-damaged'
  | 'chunk-missing'
  | 'node-damaged'
  | 'node-not-canonical'
  | 'directory-sums-wrong'
  | 'content-size-wrong'
  | 'more-damage'

const restorePack: string =
  'restore this pack from a backup of objects/: packs never change, so any backup that has it will do. Without one, restart the server and put the same files again, which stores them anew'
const replacePack: string =
  'stop the server, and move this pack out of objects/: then restore it from a backup of objects/, of which any that has it will do, since packs never change. Without one, leave it there and run pachd --fsck --fix, which copies the chunks that are whole into another pack; then put the files again that fsck still names'
/** For a pack of which nothing more can be copied. */
export const replaceLostPack: string =
  'no more of this pack can be saved: stop the server, and move it out of objects/; then restore it from a backup of objects/, of which any that has it will do, since packs never change. Without one, restart the server and put the files again that fsck still names, which stores anew what was in it'
const restoreChunk: string =
  'restore this pack from a backup of objects/: packs never change, so any backup that has it will do. Without one, put the files again that are named: what is damaged is stored afresh, also for the commits that have it already, and the next collection of garbage removes the damaged copy'

/** What can be wrong with packs, chunks and trees. Each has its section in `docs/storage.md`. */
export const storageFindings: Readonly<Record<StorageDamage, FindingFacts>> = {
  'pack-missing': {
    severity: 'error',
    meaning: 'What was in this pack and in no other cannot be read.',
    advice: restorePack,
  },
  'pack-size-wrong': {
    severity: 'error',
    meaning: 'The pack was cut short or written over, and what was in it cannot be read.',
    advice: replacePack,
  },
  'pack-index-damaged': {
    severity: 'error',
    meaning: 'Nobody can tell for certain where the chunks of this pack are.',
    advice: replacePack,
  },
  'pack-exchanged': {
    severity: 'error',
    meaning: 'Under the name of this pack there is another one, so its own chunks cannot be read.',
    advice: 'give each of the files its own name back, which the last 64 bytes of a pack say',
  },
  'pack-row-wrong': {
    severity: 'error',
    meaning:
      'The pack is whole, but the metadata say something else of it, so chunks are not found.',
    advice: 'run fsck with --fix: the row is made again from the pack',
  },
  'pack-unlisted': {
    severity: 'warning',
    meaning:
      'The pack is whole, but the metadata do not list it: after a crash that is normal; else the metadata may be older than the packs.',
    advice: 'run fsck with --fix, or start the server: it is listed then',
  },
  'pack-retired': {
    severity: 'error',
    meaning: 'The pack is listed, and a collection of garbage is said to have given it up.',
    advice: 'run fsck with --fix: what is listed stays',
  },
  'pack-foreign': {
    severity: 'warning',
    meaning:
      'A file among the packs is no whole pack, or not where packs are looked for; nothing that is listed needs it.',
    advice: 'move it out of objects/',
  },
  'pack-frame-damaged': {
    severity: 'warning',
    meaning: 'Bytes of the pack that nothing reads are not what was written; its chunks are whole.',
    advice: 'the disk changes what it holds: look after it, and run a full check again',
  },
  'chunk-damaged': {
    severity: 'error',
    meaning: 'These bytes are not what was stored, and what is made of them cannot be read.',
    advice: restoreChunk,
  },
  'chunk-copy-damaged': {
    severity: 'warning',
    meaning:
      'Nothing is lost: another pack has these bytes as they were stored, and they are read from there.',
    advice:
      'pachctl garbage-collect removes the damaged copy; the disk changes what it holds: look after it',
  },
  'chunk-missing': {
    severity: 'error',
    meaning: 'No pack holds this chunk, and what is made of it cannot be read.',
    advice: restorePack,
  },
  'node-damaged': {
    severity: 'error',
    meaning: 'A directory or list has the bytes that its name says, but they make no sense.',
    advice:
      'this was written so: please report it as a bug; the commits before it are not concerned',
  },
  'node-not-canonical': {
    severity: 'error',
    meaning:
      'It can be read, but equal directories may have different names, and diffs be too long.',
    advice: 'this was written so: please report it as a bug',
  },
  'directory-sums-wrong': {
    severity: 'error',
    meaning: 'The files can be read, but a size or a count of files that is shown is wrong.',
    advice: 'this was written so: please report it as a bug; put the directory again to correct it',
  },
  'content-size-wrong': {
    severity: 'error',
    meaning: 'A file is said to have another size than its chunks have, and cannot be read.',
    advice: 'this was written so: please report it as a bug; put the file again',
  },
  'more-damage': {
    severity: 'error',
    meaning: 'There is more damage than is told one by one.',
    advice: 'put right what is told, then run fsck again',
  },
}

export function storageFinding(name: StorageDamage): FindingKind {
  return { name, ...storageFindings[name] }
}
