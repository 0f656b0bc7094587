import { type FilePath, parentPath, rootPath } from '../../base/paths.ts'
import type { DatumMember } from '../datums.ts'

/** Those that lie in no other of their input, by input and path; each place once. */
export function outermostMembers(members: Iterable<DatumMember>): readonly DatumMember[] {
  const byPlace = new Map<string, DatumMember>()
  for (const member of members) byPlace.set(placeOf(member.input, member.path), member)
  const outermost = [...byPlace].filter(
    ([, { input, path }]) => !directoriesOf(path).some((at) => byPlace.has(placeOf(input, at))),
  )
  return outermost
    .toSorted(([left], [right]) => (left < right ? -1 : 1))
    .map(([, member]) => member)
}

/** Sorts by input, then by path: names of inputs have no NUL. */
function placeOf(input: string, path: FilePath): string {
  return `${input}\0${path}`
}

/** All that the path lies in, the root included. */
function directoriesOf(path: FilePath): readonly FilePath[] {
  const directories: FilePath[] = []
  for (let at = path; at !== rootPath;) {
    at = parentPath(at)
    directories.push(at)
  }
  return directories
}
