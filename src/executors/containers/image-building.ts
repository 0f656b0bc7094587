import { mkdirSync, rmSync } from 'node:fs'

import type { Clock } from '../../base/clock.ts'
import { CancelledError, FailedPreconditionError } from '../../base/errors.ts'
import { newHexId, type Random } from '../../base/random.ts'
import type { ImageBuild } from '../../pipelines/image-builds.ts'
import { memoryForUserCode } from '../process/control-groups.ts'
import { buildParameters } from './build-bounds.ts'
import { BuildGroup } from './build-group.ts'
import { guardOptions } from './call-profile.ts'
import type { Engine, EngineFacts } from './engine.ts'

/** By this label `docker image prune --filter` finds what was built here. */
const buildLabel = 'pachyderm.build'
const tagDigits = 16
const linesMax = 40
const minuteMs = 60_000
const buildMsMaxDefault = 60 * minuteMs
/** So long an engine may take to give up a build whose steps have been ended. */
const endMsMax = 10_000
const endPauseMs = 100

export interface ImageBuildingPorts {
  readonly engine: Engine
  readonly facts: EngineFacts
  /** As engines name them; the same as that of containers. */
  readonly network: string
  /** Processes and threads of a step at one time, where that can be bounded. */
  readonly processCountMax: number
  readonly buildMsMax?: number | undefined
  /** Of the control groups of this server's builds. */
  readonly groupPrefix: string
  /** Of the build's own. It does not exist, and is removed. */
  readonly directory: string
  readonly clock: Clock
  readonly random: Random
}

/**
 * Builds an image of a folder, and names it after the pipeline and what is in it: jobs of older
 * versions of the pipeline go on with the image that they have.
 */
export async function buildImage(
  ports: ImageBuildingPorts,
  { pipeline, archive, onLine }: ImageBuild,
  signal: AbortSignal,
): Promise<string> {
  const { engine, random } = ports
  const repo = `localhost/pachyderm-build/${pipeline.toLowerCase()}`
  // A name of its own until it is known what it is: somebody else may build the same.
  const draft = `${repo}:building-${newHexId(random)}`
  const last: string[] = []
  const keep = (line: string): void => {
    onLine(line)
    last.push(line)
    if (last.length > linesMax) last.shift()
  }
  const build = { archive, name: draft, labels: { [buildLabel]: pipeline }, onLine: keep }
  try {
    await withinBounds(ports, signal, async (group, ending) => {
      const { network, facts, directory } = ports
      using made = new DisposableStack()
      mkdirSync(directory, { mode: 0o700 })
      made.defer(() => rmSync(directory, { recursive: true, force: true }))
      const bounds = {
        network,
        memoryBytes: memoryForUserCode(),
        group: group?.path,
        guardOptions: guardOptions(facts.namespaceGuard, directory),
      }
      const parameters = buildParameters(bounds, facts)
      await engine.build({ ...build, parameters, signal: ending })
    })
  } catch (error) {
    if (!(error instanceof FailedPreconditionError)) throw error
    throw new FailedPreconditionError(
      [`the image for pipeline ${pipeline} could not be built: ${error.message}`, ...last].join(
        '\n',
      ),
      { cause: error },
    )
  }
  const image = await engine.image(draft)
  if (image === undefined) throw new FailedPreconditionError(`image ${draft} was not built`)
  const tag = image.id.replace(/^sha256:/, '').slice(0, tagDigits)
  await engine.tag(draft, { repo, tag })
  await engine.untag(draft)
  return `${repo}:${tag}`
}

/**
 * Ends the build when `signal` aborts, or it takes too long: its steps first, where they have a group.
 *
 * @throws {CancelledError} when `signal` aborts.
 */
async function withinBounds(
  ports: ImageBuildingPorts,
  signal: AbortSignal,
  build: (group: BuildGroup | undefined, ending: AbortSignal) => Promise<void>,
): Promise<void> {
  const { clock, buildMsMax = buildMsMaxDefault } = ports
  await using group = groupFor(ports)
  const [late, built, ending] = [
    new AbortController(),
    new AbortController(),
    new AbortController(),
  ]
  void clock.sleep(buildMsMax, built.signal).then(
    () => late.abort(),
    () => {},
  )
  const over = AbortSignal.any([signal, late.signal])
  const end = (): void => void endBuild(group ?? undefined, { clock, built: built.signal, ending })
  over.addEventListener('abort', end, { once: true })
  if (over.aborted) end()
  try {
    await build(group ?? undefined, ending.signal)
  } catch (error) {
    if (signal.aborted) throw new CancelledError('the build was cancelled', { cause: error })
    if (!late.signal.aborted) throw error
    throw new FailedPreconditionError(
      `it took longer than ${buildMsMax / minuteMs} minutes, and was ended`,
      { cause: error },
    )
  } finally {
    built.abort()
    over.removeEventListener('abort', end)
  }
}

function groupFor(ports: ImageBuildingPorts): BuildGroup | null {
  const { facts, groupPrefix, random, processCountMax, clock } = ports
  if (!facts.isPodman || facts.isRootless || process.geteuid?.() !== 0) return null
  return BuildGroup.open(`${groupPrefix}${newHexId(random)}`, processCountMax, clock)
}

/** Ends its steps until the engine gives up, for it might begin with the next; then lets go of it. */
async function endBuild(
  group: BuildGroup | undefined,
  {
    clock,
    built,
    ending,
  }: { readonly clock: Clock; readonly built: AbortSignal; readonly ending: AbortController },
): Promise<void> {
  const startMs = clock.monotonicMs()
  try {
    if (group === undefined) return
    while (clock.monotonicMs() - startMs < endMsMax) {
      await group.kill()
      await clock.sleep(endPauseMs, built)
    }
  } catch {
    // It has ended, or its processes are not this user's to end.
  } finally {
    ending.abort()
  }
}
