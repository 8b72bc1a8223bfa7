"""Files of the group: in the bucket directly, on the shared folder through a small single-node job."""
