-- Removes users and organizations, and all that they hold.

DROP TABLE agentmem.users;
DROP TABLE agentmem.organizations;
