-- Removes the values that blocks had before.

DROP TABLE agentmem.block_values;
