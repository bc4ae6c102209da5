package cluster

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
)

// Objects lists the objects of the cluster whose names contain a text, past all proxies.
func (c *Cluster) Objects(containing string) ([]string, error) {
	var names []string
	for token := ""; ; {
		response, err := http.Get("http://" + c.server + "/storage/v1/b/" + Bucket + "/o?pageToken=" + url.QueryEscape(token))
		if err != nil {
			return nil, err
		}
		var page struct {
			Items         []struct{ Name string }
			NextPageToken string
		}
		err = json.NewDecoder(response.Body).Decode(&page)
		if err := errors.Join(err, response.Body.Close()); err != nil {
			return nil, err
		}
		for _, item := range page.Items {
			if strings.Contains(item.Name, containing) {
				names = append(names, item.Name)
			}
		}
		if token = page.NextPageToken; token == "" {
			return names, nil
		}
	}
}

// Delete deletes an object, past all proxies. One that does not exist is no error.
func (c *Cluster) Delete(name string) error {
	request, err := http.NewRequest(http.MethodDelete, "http://"+c.server+"/storage/v1/b/"+Bucket+"/o/"+url.PathEscape(name), nil)
	if err != nil {
		return err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return err
	}
	if err := response.Body.Close(); err != nil || response.StatusCode/100 == 2 || response.StatusCode == http.StatusNotFound {
		return err
	}
	return fmt.Errorf("deleting %s: %s", name, response.Status)
}
