// T5's buckets, equal to Python's `relative_position_bucket`, message by message.

const FAR = 1024; // beyond the longest maximal distance all offsets share a bucket

// Why these options make no buckets, in Python's words; null if they do.
export function refusal({ bidirectional, numBuckets, maxDistance }) {
  const fewest = bidirectional ? 4 : 2;
  if (numBuckets < fewest) return `num_buckets=${numBuckets}: expected at least ${fewest}`;
  if (maxDistance < 1) return `max_distance=${maxDistance}: expected at least 1`;
  if (bidirectional && numBuckets % 2) {
    return `num_buckets=${numBuckets}: expected an even number, half for each direction`;
  }
  const exact = Math.floor(numBuckets / (bidirectional ? 4 : 2));
  if (maxDistance > exact) return null;
  return (
    `max_distance=${maxDistance}: expected more than ${exact}, ` +
    `the distances that num_buckets=${numBuckets} keeps exact`
  );
}

// The bucket of an offset. Python computes in single precision, hence the rounding at each step.
export function bucketOf(offset, options) {
  const refused = refusal(options);
  if (refused) throw new Error(refused);
  const { bidirectional, numBuckets, maxDistance } = options;
  const size = bidirectional ? numBuckets / 2 : numBuckets;
  const first = bidirectional && offset > 0 ? size : 0;
  const distance = bidirectional ? Math.abs(offset) : Math.max(-offset, 0);
  const exact = Math.floor(size / 2);
  if (distance < exact) return first + distance;
  const round = Math.fround;
  const share = round(
    round(Math.log(round(distance / exact))) / round(Math.log(maxDistance / exact)),
  );
  return first + Math.min(size - 1, exact + Math.floor(round(share * (size - exact))));
}

// The offsets around this one that share its bucket: { bucket, from, to }; null = without end.
export function sharers(offset, options) {
  const bucket = bucketOf(offset, options);
  const edge = (step) => {
    let last = offset;
    for (; Math.abs(last) <= FAR; last += step) {
      if (bucketOf(last + step, options) !== bucket) return last;
    }
    return null;
  };
  return { bucket, from: edge(-1), to: edge(1) };
}

// How many buckets past and present have, and how many the future has for itself.
export function directions(options) {
  const [past, future] = [new Set(), new Set()];
  for (let distance = 0; distance <= FAR; distance += 1) {
    past.add(bucketOf(-distance, options));
    future.add(bucketOf(distance, options));
  }
  return { past: past.size, future: [...future].filter((bucket) => !past.has(bucket)).length };
}
