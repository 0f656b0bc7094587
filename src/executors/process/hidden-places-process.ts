import { existsSync, realpathSync } from 'node:fs'

import { engineStorage, type EngineVariables } from '../engine-storage.ts'
import { type HiddenPlaces, hiddenPlaces, isBelow } from './hidden-places.ts'

// A process of its own, for it touches what may be on a disk that does not answer: the kernel lets nobody
// end who waits for one, and a thread would keep the server from ending. It ends with the server's channel.

/**
 * What user code must not see, and what else engines keep; `peoplesProgramPath` names directories of people's
 * that it may.
 */
export interface PlacesRequest extends Omit<
  Parameters<typeof hiddenPlaces>[0],
  'privateDirectories'
> {
  readonly peoplesProgramPath: string
  readonly engineVariables: EngineVariables
}

export type PlacesAnswer =
  | { readonly kind: 'found'; readonly places: HiddenPlaces }
  | { readonly kind: 'failed'; readonly reason: string }

function answerTo(request: PlacesRequest): PlacesAnswer {
  try {
    const privateDirectories = privateDirectoriesOf(request.peoplesProgramPath)
    const storage = [...engineStorage(request.engineVariables), ...request.engineStorage]
    const places = hiddenPlaces({ ...request, engineStorage: storage, privateDirectories })
    return { kind: 'found', places }
  } catch (error) {
    return { kind: 'failed', reason: error instanceof Error ? error.message : String(error) }
  }
}

/** Where people keep what is theirs, unless programs are looked for there, too. */
function privateDirectoriesOf(programPath: string): readonly string[] {
  const programs = programPath
    .split(':')
    .filter((path) => path.startsWith('/') && existsSync(path))
    .map((path) => realpathSync(path))
  return ['/root', '/home']
    .filter((path) => existsSync(path))
    .map((path) => realpathSync(path))
    .filter((path) => !programs.some((program) => isBelow(program, path)))
}

process.on('message', (request: PlacesRequest) => {
  process.send?.(answerTo(request))
})
