import type { Transform } from '../executor.ts'
import type { PipelineSpec } from '../specs.ts'
import { quantityValue } from './quantities.ts'

/** What the workers of a pipeline run, with what each may use. */
export function workerTransform({ transform, resources }: PipelineSpec): Transform {
  if (resources === undefined) return transform
  const { cpu, gpu, memory } = resources
  return { ...transform, resources: { cpu, gpu, memoryBytes: quantityValue(memory || '0') ?? 0 } }
}
