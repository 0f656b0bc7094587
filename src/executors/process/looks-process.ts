import { existsSync, realpathSync } from 'node:fs'

import { engineStorage, type EngineVariables } from '../engine-storage.ts'
import { type HiddenPlaces, hiddenPlaces, isBelow } from './hidden-places.ts'
import { hostProgram, programFault, unstartableReasons } from './program-faults.ts'
import { startFault, unstartedText } from './start-faults.ts'

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

/** What can be looked at. */
export interface Looks {
  readonly hiddenPlaces: typeof placesFor
  readonly hostProgram: typeof hostProgram
  readonly programFault: typeof programFault
  readonly startFault: typeof startFault
  readonly unstartableReasons: typeof unstartableReasons
  readonly unstartedText: typeof unstartedText
}

const looks: Looks = {
  hiddenPlaces: placesFor,
  hostProgram,
  programFault,
  startFault,
  unstartableReasons,
  unstartedText,
}

export interface LookRequest {
  readonly name: keyof Looks
  readonly args: readonly unknown[]
}

export type LookAnswer =
  | { readonly kind: 'seen'; readonly seen: unknown }
  | { readonly kind: 'failed'; readonly reason: string }

function answerTo({ name, args }: LookRequest): LookAnswer {
  try {
    const look: (...args: never[]) => unknown = looks[name]
    return { kind: 'seen', seen: look(...(args as never[])) }
  } catch (error) {
    return { kind: 'failed', reason: error instanceof Error ? error.message : String(error) }
  }
}

function placesFor(request: PlacesRequest): HiddenPlaces {
  const privateDirectories = privateDirectoriesOf(request.peoplesProgramPath)
  const storage = [...engineStorage(request.engineVariables), ...request.engineStorage]
  return hiddenPlaces({ ...request, engineStorage: storage, privateDirectories })
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

process.on('message', (request: LookRequest) => {
  process.send?.(answerTo(request))
})
